"""What runs beside the product, in a checkout only: benchmarks, peers, chaos runs, oracle, scenarios."""
