"""What was held leaves, by the same line that new mail takes.

How a held copy leaves: the courier claims what is due and gives all copies of
one message to one turn.  The turn opens them, has them judged anew and sent,
writes down what became of each, and only then forgets a copy or puts it off.
Whoever never will get it waits a while for the others of the message, so that
one report tells the sender of all of them.

courier: claims under a lease, no more than it has hands for, urgent lanes first
messages: opens what was sealed, once for all copies of a message
resender: judges and sends by the line, or sends the report
resumption: one turn, from the open message to the store that forgets it or keeps it
hastening: the report leaves as soon as nobody else of its message is open
account_watch: password files that change, and what waited for them
schedule: when a copy is tried again, and what becomes of it after a try (pure)
"""
