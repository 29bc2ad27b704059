"""Mail that cannot leave now is kept, and people look after it; `relay.carrying` takes it from here.

How a held copy lives: the line hands over all recipients of a message that are
open, or none (`holder`).  Envelope, addresses and message are sealed (`codec`)
and go into the store in one durable step, which makes the ledger rows HELD;
the client gets its 250.  From then on the copy has a reason and a time at which
it is due, in the lane of its sender, recipient domain and priority; whoever
comes behind it in that lane is held too.  The courier claims it when it is due,
under a lease, and puts it back until it has left or its time is over.

codec: the sealed forms, how long they are kept, and the names of lanes and owners
custody: the logins of clients who are gone, sealed, where the configuration lets the relay keep them
holder: may it be held, is there room, and the step that holds it
intervention: what people do with held mail: look, release, retry, drop (`relay held`)
"""
