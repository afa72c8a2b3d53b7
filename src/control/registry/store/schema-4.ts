/**
 * The registry's tables, version 4: a plan is kept as a whole and the differences since, so that a change of a large network writes what
 * differs and no more. `stamp` is another one for each plan of a network: who remembers that plan knows that it still is the one.
 */
export const SCHEMA_4: string = `
create table plan_differences (
  network text not null,
  node text not null,
  revision bigint not null,
  body jsonb not null,
  primary key (network, node, revision),
  foreign key (network, node) references plans on delete cascade
);

alter table plan_revisions add stamp text;

-- Half the time of the older method, where the server has it (it is a choice of who builds PostgreSQL).
do $compression$ begin
  alter table plans alter plan set compression lz4;
  alter table plan_differences alter body set compression lz4;
  alter table changes alter body set compression lz4;
exception when others then null;
end $compression$;
`;
