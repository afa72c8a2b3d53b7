/**
 * The registry's tables, version 4: addresses are the planner's, which has no slots; rotations of keys and ports; private keys that users
 * bring, sealed. Sealed boxes are not in the audit log: it is kept for ever, and a node's key may be stolen one day.
 */
export const SCHEMA_4: string = `
alter table network_nodes drop column slot;
alter table network_clients drop column slot;

create table rotations (
  network text not null,
  node text not null,
  phase text not null check (phase in ('making', 'spreading', 'switching', 'done', 'undone')),
  is_key boolean not null,
  public_key text,
  port integer,
  waits jsonb not null default '{}',
  seen_by jsonb not null default '[]',
  reason text not null default '',
  started timestamptz not null default now(),
  deadline timestamptz not null,
  primary key (network, node),
  foreign key (network, node) references network_nodes on delete cascade,
  foreign key (node, port) references port_leases (node, port) on delete set null (port)
);
create index rotations_deadline on rotations (deadline) where phase in ('making', 'spreading', 'switching');

create table sealed_keys (
  network text not null,
  node text not null,
  public_key text not null,
  primary key (network, node),
  foreign key (network, node) references network_nodes on delete cascade
);

create table sealed_boxes (
  network text not null,
  node text not null,
  box text not null,
  primary key (network, node),
  foreign key (network, node) references sealed_keys on delete cascade
);

create trigger audit_rotations after insert or update or delete on rotations for each row execute function audit_write('network', 'node');
create trigger audit_sealed_keys after insert or update or delete on sealed_keys for each row execute function audit_write('network', 'node');

-- A key is one party's of a network: node, client, or a node's next. Writers hold the network's lock, so that the look is not passed by.
create function network_key_once() returns trigger language plpgsql as $once$
declare
  self jsonb := to_jsonb(new);
begin
  if new.public_key is null or self ->> 'phase' in ('done', 'undone') then return new; end if;
  if exists (select from network_nodes n where n.network = new.network and n.public_key = new.public_key
        and not (tg_table_name in ('network_nodes', 'sealed_keys') and n.node = self ->> 'node'))
      or exists (select from network_clients c where c.network = new.network and c.public_key = new.public_key
        and not (tg_table_name = 'network_clients' and c.name = self ->> 'name'))
      or exists (select from rotations r where r.network = new.network and r.public_key = new.public_key
        and r.phase not in ('done', 'undone') and r.node is distinct from self ->> 'node')
      or exists (select from sealed_keys s where s.network = new.network and s.public_key = new.public_key
        and s.node is distinct from self ->> 'node') then
    raise exception 'a public key is another''s already' using errcode = '23505', constraint = 'network_keys_once';
  end if;
  return new;
end $once$;
create trigger network_nodes_key_once before insert or update of public_key on network_nodes for each row execute function network_key_once();
create trigger network_clients_key_once before insert or update of public_key on network_clients for each row execute function network_key_once();
create trigger rotations_key_once before insert or update of public_key on rotations for each row execute function network_key_once();
create trigger sealed_keys_key_once before insert or update of public_key on sealed_keys for each row execute function network_key_once();
`;
