"""The laws that every public module obeys, a file a law, each over the whole registry."""
