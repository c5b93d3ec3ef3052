-- Written by hand: the partitions of messages for the months from now on (a job makes later ones).

select private.ensure_month_partitions('public.messages', 12);
