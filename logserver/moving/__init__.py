"""Data directories come and go whole: from Apache Kafka, into a backup, and back.

Promises: the source is only read; a target is complete or refused by `serve`; sealed segments are
linked, not copied, wherever both lie on one file system.
Must never know a socket, or a server that runs: it works on files, beside whoever serves them.
"""
