"""Finds trail files and splits them into raw events (docs/services/ingest.md).

1. discover writes a notice for every file: from a queue, a listing, a folder, or what is due again.
2. split asks the ledger whether the file is done, begun or new, and fetches it into a spool.
3. It unpacks as a stream under a budget, splits, masks secrets: one message a record.
4. One transaction holds events, dead letters, the ledger's row and the notice's offset.
Must: lose no byte but masked values; a broken record costs no neighbour, an object no partition;
bounded memory and time whatever a file holds; an SQS message goes after its notices are written.
Fails: an object waits as a dead letter with a time; a store that is away is waited for.
"""
