"""The schema version that this program works with: the newest migration's revision."""

SCHEMA_VERSION = "0001"
