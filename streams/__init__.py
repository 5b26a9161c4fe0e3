"""From raw records to features: the gate, the Faust stages, their changelog, the store's writer, the archive."""
