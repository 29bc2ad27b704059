"""What a message is: mailboxes, envelope, message, replies. Pure.

The modules and rooms, from the ground up; each may import those on lower lines, and its own room.  A mail comes as an
`envelope` and octets; `message` finds its `parts` and, when a rule asks, the `words` that people see of it, on the `page` too.
What may be answered is named in `replies`.  Mail that came in by itself is read in `incoming`.

mailbox: one mailbox, two faces; reply: an SMTP reply, as a value
envelope: who hands in what for whom; replies: every reply that the relay can send
parts: the octets of a message: header fields, address lists, MIME parts, encodings; page: HTML as people see it
reply_table: when each reply is sent; words: what people read of a message, and the form in which it is searched
message: a message as it came
incoming: mail that came in: bounces, complaints, refusals in words
"""
