/** The registry's tables, version 4: addresses are the planner's, which has no slots. */
export const SCHEMA_4: string = `
alter table network_nodes drop column slot;
alter table network_clients drop column slot;
`;
