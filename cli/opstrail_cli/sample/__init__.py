"""A hand-made archive of trail files: `python -m opstrail_cli.sample FOLDER`.

Three accounts, four Regions, two trails that both deliver most events, the life of two OpsWorks
stacks, every kind of caller and of credentials, and what else lies in real buckets: files late and
out of order, a digest, an Insight, empty files, one that is no trail file, and the OpsWorks
manual's two records, one of which is broken JSON.

The same bytes come out every time. It imports nothing of opstrail, so that what `expectation.py`
says of the archive is a second opinion on what the services make of it.
"""
