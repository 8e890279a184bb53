"""How an opstrail service lives: read, decide, write in one transaction, commit last.

A service is a `Stage` (stage.py): it turns records into outputs. The `Loop` (loop.py) does the
rest: partitions come and go, state is restored before the first record, outputs and offsets move
in one Kafka transaction, a dependency that is away is waited for, a crash loop ends. Kafka sits
behind three seams (`Source`, `Writer`, `Table`), each with a twin in memory beside the tests that
passes the same contract suite as the real one.
"""
