-- What a customer has been like over the thirty days before a day: the batch view `customer_profile`.
-- The text, comments and white space aside, is part of the view's hash: a change is another feature.

-- payments: what the snapshots of a range of days are made of; $files, $begin_ms and $end_ms bound it
create or replace temp table payments as
select customer_id, terminal_id, amount_minor, event_time // 86400000 as "day",
    event_time % 86400000 < 6 * 3600000 as is_night
from (
    select *, row_number() over (partition by transaction_id order by raw_partition, raw_offset) as "copy"
    from read_parquet($files)
    where event_time >= $begin_ms and event_time < $end_ms
)
where "copy" = 1
order by "day";

-- snapshot: one row a customer who paid in the thirty days before $day
select customer_id,
    sum(amount_minor)::double / count(*) as profile_amount_mean,
    sqrt((
        count(*)::hugeint * sum(amount_minor::hugeint * amount_minor)
        - sum(amount_minor)::hugeint * sum(amount_minor)::hugeint
    )::double) / count(*) as profile_amount_std,
    count(*)::double / count(distinct "day") as profile_payments_per_day,
    count(*) filter (is_night)::double / count(*) as profile_night_share,
    count(distinct terminal_id)::double as profile_terminals
from payments
where "day" >= $day - 30 and "day" < $day
group by customer_id
order by customer_id;
