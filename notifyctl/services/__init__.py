"""Use-cases of the commands, synchronous."""
