-- A ledger: who may see which entries is for the policy to say.
CREATE TABLE public.entries (
	id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	person text NOT NULL,
	amount numeric NOT NULL
);
INSERT INTO public.entries (person, amount)
SELECT person, n FROM unnest(ARRAY['alice@corp.example.com', 'bob@corp.example.com', 'zo%C3%AB.m%C3%BCller@corp.example.com']) person, generate_series(1, 3) n;
GRANT SELECT ON public.entries TO app_ro_ledger;
