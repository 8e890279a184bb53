"""Real servers on this machine without Docker: Kafka, schema registry, OpenSearch, S3 + SQS.

1. artifacts.lock names every published Java artifact with its size and SHA-256 (`lock.py`).
2. `fetch.py` brings what the cache lacks, checks it, and unpacks one tree a server.
3. `kafka.py`, `registry.py`, `opensearch.py`, `aws.py` each say how their server is run
   and when it is ready: its identity is proven, an open port is not enough.
4. `instance.py` starts, watches, stops and records the servers of one state folder.
5. Everything listens on loopback, on ports chosen at run time; data lives in the state folder.
6. `down` stops only processes proven to be the recorded ones, and leaves none of them running.
"""
