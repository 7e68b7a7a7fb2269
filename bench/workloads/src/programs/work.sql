-- The script of the workload `sqlite3`: a shop in memory. @WORK@ customers, four orders each, made by arithmetic instead of
-- random numbers, as SQLite's own cannot be seeded.
pragma temp_store = memory;
create table customer (id integer primary key, name text, town text, notes text);
create table orders (id integer primary key, customer integer, article integer, amount integer, remark text);
begin;
with recursive n(i) as (select 1 union all select i + 1 from n where i < @WORK@)
insert into customer
select i, printf('customer %x', i * 7919 % 1000003), printf('town %d', i * 31 % 997),
       substr(hex(zeroblob(60)), 1, i * 17 % 120)
from n;
with recursive n(i) as (select 1 union all select i + 1 from n where i < 4 * @WORK@)
insert into orders
select i, 1 + i * 104729 % @WORK@, i * 613 % 5003, i * 389 % 1000, printf('remark %d %x', i % 100, i * 65537 % 16777213)
from n;
commit;
create index customer_town on customer (town, name);
create index orders_customer on orders (customer, amount);
create index orders_remark on orders (remark);
select count(*), sum(length(name)), sum(length(notes)) from customer;
select town, count(*), sum(amount) from customer join orders on orders.customer = customer.id
group by town order by 3 desc, town limit 20;
select article, group_concat(distinct amount % 10), count(*) from orders where article < 200 group by article order by article;
update orders set remark = remark || ' changed', amount = amount + 1 where id % 5 = 0;
delete from orders where id % 7 = 3;
select remark, count(*) from orders group by substr(remark, 1, 9) order by count(*) desc, remark limit 20;
create table copy as select customer.name || '/' || orders.remark as line, amount from orders
join customer on customer.id = orders.customer order by line;
select sum(length(line)), max(line), min(line) from copy;
drop table copy;
select json_group_array(json_object('id', id, 'name', name)) from (select * from customer order by name limit 300);
