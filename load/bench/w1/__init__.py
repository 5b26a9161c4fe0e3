"""Work W1: count, sum, mean and max of the amount over an hour, a day and a week, as of every payment."""
