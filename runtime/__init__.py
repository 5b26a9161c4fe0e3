"""The ground floor: what every process needs while it runs. Knows contracts, and no worker."""
