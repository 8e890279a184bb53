"""The versions of the servers, in one place (PURE). `lock.py` turns them into artifacts.lock."""

KAFKA = "4.3.1"
OPENSEARCH = "3.8.0"
REGISTRY = "3.3.3"

# The broker's jars bring slf4j-api 1.7 without a binding: it would log nothing.
# 1.7 takes log4j-slf4j-impl, not log4j-slf4j2-impl.
LOG4J_BINDING = "2.25.4"
