"""Who is in service: the registry, gates and promotions, champion, canary and shadows."""
