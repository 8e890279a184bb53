"""opstrail's contracts: what is on its Kafka topics and how to read it.

All that a subscriber installs. `topics` names the topics, `codec` turns messages into events and
back, `messages` holds the types, `registry` looks schema ids up, `identity` is the message key.
The `.avsc` files in `avro/` and the YAML files in `topics/` are the source of all of it.
"""
