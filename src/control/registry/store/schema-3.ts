/**
 * The registry's tables, version 3: what nodes report of their links, and what follows from it. The newest report of a node and network
 * only; nothing of it is in `audit`: nobody decides it.
 */
export const SCHEMA_3: string = `
create table link_reports (
  network text not null,
  node text not null,
  peers jsonb not null,
  at timestamptz not null default now(),
  due timestamptz,
  primary key (network, node),
  foreign key (network, node) references network_nodes on delete cascade
) with (fillfactor = 50);
create index link_reports_due on link_reports (due) where due is not null;

create table relay_states (
  network text not null,
  node text not null,
  health text not null check (health in ('down', 'probation')),
  since timestamptz not null,
  due timestamptz,
  primary key (network, node),
  foreign key (network, node) references network_nodes on delete cascade
);
create index relay_states_due on relay_states (due) where due is not null;

alter table heartbeats add silent boolean not null default false;

-- Since when this database has been served without a break: before, nobody's silence tells anything.
create table listening (
  single boolean primary key default true check (single),
  since timestamptz not null default now(),
  last timestamptz not null default now()
);
insert into listening default values;

create table network_paths (
  network text primary key references networks on delete cascade,
  paths jsonb not null
);
`;
