"""What may be sent: policy sets, cases, rulings. Pure.

The rooms, from the ground up; each may import those on lower lines.  Files become a set (`sets.parse`); a message and what is
known of one recipient become a case (`cases.case`); `deciding.decide` asks each rule of the stream, a rule runs a check, and
what they object to is the ruling.

suppressions: who must not be written to, and when an address is dead; detectors: numbers and keys that a text gives away
consents: what people agreed to; timing: hours of the week, time zones, limits
cases: all facts on one recipient of one message, and what is decided from them
rules: what a rule is: the tables that people write, expressions, duties
words: word lists, labels, template fields, look-alikes: what the words of a text say
checks: what rules run, one file for each subject
sets: policy files as people write them, their faults, and the set that is compiled of them
opting_in: sign-up forms, and whom they may ask to confirm; deciding: rules, hours and pauses ruled on, limits charged
rehearsing: messages that a set is tried on before it comes into force
telling: a set in sentences, what changed in it, its schema, what its rules look at
"""
