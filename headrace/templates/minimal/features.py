"""Orders: how many a shop has had, for how much, and how long ago the last one was."""

from headrace import Entity, Project, Source, count, mean_of, since_last, view

orders = Source("contracts/orders.yaml")
shop = Entity("shop_id")
by_shop = view(shop, orders, [count("1h 24h 7d"), mean_of("amount", "24h 7d"), since_last()])

project = Project("minimal", scored=orders, chain=[shop], views=[by_shop])
