-- Made by `deno task db:diff` from sql/ and policies/; change those, not this file.

REVOKE ALL ON SEQUENCE "public"."audit_events_id_seq" FROM "anon";

REVOKE ALL ON SEQUENCE "public"."audit_events_id_seq" FROM "authenticated";

REVOKE ALL ON SEQUENCE "public"."audit_events_id_seq" FROM "service_role";
