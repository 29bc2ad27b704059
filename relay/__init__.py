"""compliance-relay: an SMTP submission proxy that enforces e-mail compliance at the moment of sending.

The rooms, from the ground up; each may import its own floor and those below.

errors, loglines, files, data_files, ids, lazy, tasks, templates: what every room may need; commits, writeahead: share an fsync
mail: what a message is, and every reply
toml, hosts, logins: how people write configurations
policy: what may be sent
render: the copy that leaves, with its link, duties and signature, and reports
keys, accounts, config, telemetry: secrets, settings, what operators see
stores: what is remembered across nodes: suppressions, limits, consents
records: what happened, on this node
upstream: where mail goes
answer: the one reply for all recipients; failing: the reply when the relay itself fails
resolver, domains: which domains take mail
gathering, judging, tries, routing, consignment, warming, bounced, reading, adapting: the steps of one message, to a bounce
clearing: the last question before a copy leaves, the outcome in the ledger; crossing: data abroad; holding: what cannot leave now
dispatch: the copies go upstream
refusing, reporting: the sender is told; probing: the canary of operators
overtaken: judge again whom another policy set overtook; pipeline: the line, which takes these steps in order
carrying: the same line for what was held
explain: the line without doing it; linting: the rules alone; rejudging: what is on record, by another policy set
doors: where the outside comes in
service: the processes that run it all
cli: the relay command
"""

__version__ = "0.1.0"
