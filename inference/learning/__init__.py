"""The learner: labels joined to the predictions they judge, and what follows from them."""
