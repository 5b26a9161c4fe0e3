"""The parts of the generator of card payments: plan, customers and terminals, rhythm, frauds, labels."""
