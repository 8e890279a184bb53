"""Search, view, follow and download the history of events: API, page and command line.

1. Find out who asks, and which accounts they may see.
2. Read filters; make one OpenSearch query of them, narrowed to those accounts.
3. Answer a page of rows and a cursor, counts by field, one event and what belongs to it, a stream.
4. Log who searched and downloaded what.

Must: never show an event, or count one, of an account out of scope; never skip or repeat one while
paging; serve nobody but this machine where no authentication is set up. Only reads OpenSearch.
The whole spec: docs/services/history.md.
"""
