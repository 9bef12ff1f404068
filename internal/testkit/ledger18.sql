-- The principal, as the certificate names it. NULL for whoever came another way.
CREATE FUNCTION public.principal() RETURNS text
	LANGUAGE sql STABLE PARALLEL RESTRICTED
	RETURN substring(system_user FROM '^cert:CN=([^,]+),OU=[a-z0-9_]+,O=pgcustos$');

ALTER TABLE public.entries ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_entries ON public.entries FOR SELECT
	USING (person = public.principal());
