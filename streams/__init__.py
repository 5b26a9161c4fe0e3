"""From raw records to features: gate, Faust stages, changelog, the store's writer, archive."""
