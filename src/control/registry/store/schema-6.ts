/** The registry's tables, version 6: what is wrong with a network is kept with it, so that it is in the audit log and can be counted. */
export const SCHEMA_6: string = `
alter table networks add faults jsonb not null default '[]';
`;
