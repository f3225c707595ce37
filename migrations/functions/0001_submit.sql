-- What lets any language submit inside its own transaction. {schema} is the schema of the tables.
-- No text in plain quotes has a backslash, and times have their offset: what a session sets changes no meaning. Nothing
-- is found by a search path: names are qualified, and what has none is of pg_catalog, which stands first.

CREATE FUNCTION {schema}.notifyctl_refuse(state text, message text, hint text)
 RETURNS void
 LANGUAGE plpgsql
AS $body$
BEGIN
    RAISE EXCEPTION USING ERRCODE = state, MESSAGE = message, HINT = hint;
END
$body$;

CREATE FUNCTION {schema}.notifyctl_trimmed(said text)
 RETURNS text
 LANGUAGE sql
AS $body$
    SELECT btrim(said, E' \t\n\x0b\f\r\x1c\x1d\x1e\x1f\u0085\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000')
$body$;

CREATE FUNCTION {schema}.notifyctl_canonical(value jsonb, depth integer DEFAULT 0)
 RETURNS text
 LANGUAGE plpgsql
AS $body$
DECLARE
    kind text := jsonb_typeof(value);
    number numeric;
    written text;
BEGIN
    IF kind IN ('object', 'array') THEN
        IF depth >= 200 AND value NOT IN ('{}', '[]') THEN
            PERFORM {schema}.notifyctl_refuse('NC002', 'content: nested too deep', 'at most 200 levels are stored');
        END IF;
        IF kind = 'object' THEN
            SELECT '{' || coalesce(string_agg(
                       to_json(e.key)::text || ':' || CASE
                           WHEN jsonb_typeof(e.value) IN ('object', 'array', 'number')
                           THEN {schema}.notifyctl_canonical(e.value, depth + 1)
                           ELSE e.value::text
                       END, ',' ORDER BY e.key COLLATE "C"), '') || '}'
              INTO written FROM jsonb_each(value) AS e;
        ELSE
            SELECT '[' || coalesce(string_agg({schema}.notifyctl_canonical(e.value, depth + 1), ',' ORDER BY e.place), '') || ']'
              INTO written FROM jsonb_array_elements(value) WITH ORDINALITY AS e(value, place);
        END IF;
        RETURN written;
    END IF;
    written := value::text;
    IF kind = 'number' AND length(written) > 308 THEN
        number := written::numeric;
        IF abs(number) >= 2::numeric ^ 1024 - 2::numeric ^ 970 THEN
            PERFORM {schema}.notifyctl_refuse('NC002', 'content: a number is larger than any float', 'write it as text');
        ELSIF scale(number) > 400 THEN
            PERFORM {schema}.notifyctl_refuse('NC002', 'content: a number has more than 400 places after the point', 'round it, or write it as text');
        END IF;
    END IF;
    RETURN written;
END
$body$;

CREATE FUNCTION {schema}.notifyctl_id_bounds(reference text, OUT low character, OUT high character)
 RETURNS record
 LANGUAGE plpgsql
AS $body$
DECLARE
    form CONSTANT text := 'xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx';
    digits text := lower(reference COLLATE "C");
BEGIN
    IF length(digits) BETWEEN 8 AND 36
       AND translate(digits, '0123456789abcdef', 'xxxxxxxxxxxxxxxx') = left(form, length(digits))
       AND strpos(digits, 'x') = 0 THEN
        low := digits || replace(substr(form, length(digits) + 1), 'x', '0');
        high := digits || replace(substr(form, length(digits) + 1), 'x', 'f');
    END IF;
END
$body$;

CREATE FUNCTION {schema}.notifyctl_user(reference text)
 RETURNS text
 LANGUAGE plpgsql
AS $body$
DECLARE
    name text := {schema}.notifyctl_trimmed(reference);
    sign integer := strpos(reverse(name), '@');
    bounds record := {schema}.notifyctl_id_bounds(name);
    meant text;
    others text[];
BEGIN
    SELECT u.id INTO meant FROM {schema}.users u WHERE u.username = name;
    IF sign > 0 THEN
        others := ARRAY(SELECT u.id FROM {schema}.users u
                         WHERE u.email IN (name, left(name, 1 - sign) || lower(right(name, sign - 1) COLLATE "C")));
    ELSIF bounds.low IS NOT NULL THEN
        others := ARRAY(SELECT u.id FROM {schema}.users u WHERE u.id BETWEEN bounds.low AND bounds.high LIMIT 6);
    END IF;
    others := array_remove(others, meant);
    IF meant IS NULL AND cardinality(others) = 1 THEN
        RETURN others[1];
    ELSIF cardinality(others) > 0 THEN
        PERFORM {schema}.notifyctl_refuse('NC002', quote_literal(left(reference, 80)) || ' means more than one user', 'the whole id, a username or an e-mail address');
    ELSIF meant IS NULL THEN
        PERFORM {schema}.notifyctl_refuse('NC003', 'there is no user ' || coalesce(quote_literal(left(reference, 80)), 'NULL'), 'an id, a username or an e-mail address; notifyctl users list');
    END IF;
    RETURN meant;
END
$body$;

-- What stands against it is returned: a repetition is recognised before that counts.
CREATE FUNCTION {schema}.notifyctl_template(reference text, channel text, OUT id text, OUT name text, OUT category text, OUT version integer, OUT state text, OUT message text, OUT hint text)
 RETURNS record
 LANGUAGE plpgsql
AS $body$
DECLARE
    bounds record := {schema}.notifyctl_id_bounds({schema}.notifyctl_trimmed(reference));
    found record;
    many bigint := 1;
BEGIN
    SELECT t.id, t.name, t.message_type, t.kind, t.is_active, t.category, t.published_version INTO found
      FROM {schema}.notification_templates t WHERE t.name = reference;
    IF found.id IS NULL AND bounds.low IS NOT NULL THEN
        SELECT count(*) OVER () AS many, t.id, t.name, t.message_type, t.kind, t.is_active, t.category, t.published_version INTO found
          FROM {schema}.notification_templates t WHERE t.id BETWEEN bounds.low AND bounds.high LIMIT 1;
        many := found.many;
    END IF;
    IF many > 1 THEN
        state := 'NC002'; message := quote_literal(left(reference, 80)) || ' means more than one template'; hint := 'notifyctl templates list';
    ELSIF found.id IS NULL THEN
        state := 'NC003'; message := 'there is no template ' || quote_literal(left(reference, 80)); hint := 'notifyctl templates list';
    ELSE
        id := found.id;
        name := found.name;
        category := found.category;
        version := found.published_version;
        IF found.message_type <> channel THEN
            state := 'NC002'; message := 'template ' || name || ' is for ' || found.message_type || ', not ' || channel; hint := 'notifyctl templates list';
        ELSIF found.kind <> 'message' THEN
            state := 'NC002'; message := 'template ' || name || ' is a ' || found.kind || ', a part of others'; hint := 'notifyctl templates list';
        ELSIF NOT found.is_active THEN
            state := 'NC005'; message := 'template ' || name || ' is disabled'; hint := 'notifyctl templates enable ' || name;
        ELSIF version = 0 THEN
            state := 'NC005'; message := 'template ' || name || ' is a draft'; hint := 'notifyctl templates publish ' || name;
        END IF;
    END IF;
END
$body$;

CREATE FUNCTION {schema}.notifyctl_provider(given text, wanted text)
 RETURNS text
 LANGUAGE plpgsql
AS $body$
DECLARE
    found record;
BEGIN
    -- The channel is written down when a provider is added; of those that other programs add, ours are known.
    FOR found IN
        SELECT c.provider_name AS name, c.is_active, coalesce((SELECT s.channel FROM {schema}.provider_states s WHERE s.provider_id = c.id), CASE c.provider_name
                   WHEN 'sendgrid' THEN 'email' WHEN 'smtp' THEN 'email' WHEN 'twilio' THEN 'sms' WHEN 'fcm' THEN 'push' END) AS channel
          FROM {schema}.provider_configs c
         WHERE given IS NULL AND c.is_active OR c.provider_name = given
         ORDER BY c.priority DESC, c.provider_name
    LOOP
        EXIT WHEN given IS NOT NULL OR found.channel = wanted;
    END LOOP;
    IF given IS NULL AND found.channel IS DISTINCT FROM wanted THEN
        found.name := NULL;
    END IF;
    IF found.name IS NULL AND given IS NULL THEN
        PERFORM {schema}.notifyctl_refuse('NC005', 'no active provider delivers ' || wanted, 'notifyctl providers add');
    ELSIF found.name IS NULL THEN
        PERFORM {schema}.notifyctl_refuse('NC003', 'there is no provider ' || quote_literal(left(given, 80)), 'notifyctl providers list');
    ELSIF found.channel <> wanted THEN
        PERFORM {schema}.notifyctl_refuse('NC002', 'provider: ' || found.name || ' delivers ' || found.channel || ', not ' || wanted, 'notifyctl providers list');
    ELSIF NOT found.is_active THEN
        PERFORM {schema}.notifyctl_refuse('NC005', 'provider ' || found.name || ' is disabled', 'notifyctl providers enable ' || found.name);
    END IF;
    RETURN found.name;
END
$body$;

CREATE FUNCTION {schema}.notifyctl_addressed(payload jsonb, channel text)
 RETURNS jsonb
 LANGUAGE plpgsql
AS $body$
DECLARE
    own CONSTANT text := CASE channel WHEN 'push' THEN 'token' ELSE 'to' END;
    given text := {schema}.notifyctl_trimmed(payload ->> own);
    address text := given;
    name text;
    parts text[];
BEGIN
    IF channel = 'email' THEN
        parts := regexp_match(given, '^("[^"]*"|[^"<>@()]*)[[:space:]]*<([^<>@[:space:]]+@[^<>@[:space:]]+)>$');
        IF parts IS NOT NULL AND strpos(given, chr(92)) = 0 THEN
            name := regexp_replace(btrim(btrim(parts[1]), '"'), ' +', ' ', 'g');
            address := parts[2];
        END IF;
        IF address !~ '^[^[:space:]@<>]+@[^[:space:]@<>]+$' THEN
            PERFORM {schema}.notifyctl_refuse('NC002', 'content: to: ' || quote_literal(left(given, 80)) || ' is no e-mail address', 'like anna@example.org');
        END IF;
        IF octet_length(address) > length(address) THEN
            address := normalize(address);
        END IF;
        address := split_part(address, '@', 1) || '@' || lower(split_part(address, '@', 2) COLLATE "C");
        IF name <> '' AND coalesce(payload ->> 'to_name', name) <> name THEN
            PERFORM {schema}.notifyctl_refuse('NC002', 'content: to_name is given twice', 'give it once');
        ELSIF name <> '' THEN
            payload := payload || jsonb_build_object('to_name', name);
        END IF;
    ELSIF channel = 'sms' THEN
        address := regexp_replace(given, '[^0-9+]', '', 'g');
        IF strpos(given, '(0)') > 0 THEN
            PERFORM {schema}.notifyctl_refuse('NC002', 'content: to: ' || quote_literal(left(given, 80)) || ' has a (0), which some countries dial and others do not', 'write the number as it is dialled from abroad');
        ELSIF given !~ ('^[+][0-9][0-9 ()./' || chr(160) || '-]*$') OR length(address) NOT BETWEEN 6 AND 16 THEN
            PERFORM {schema}.notifyctl_refuse('NC002', 'content: to: ' || quote_literal(left(given, 80)) || ' is no telephone number with a country code', 'like +14155552345');
        END IF;
    ELSIF address ~ '[[:space:][:cntrl:]]' OR length(address) NOT BETWEEN 1 AND 1024 THEN
        PERFORM {schema}.notifyctl_refuse('NC002', 'content: token: 1 to 1024 characters without a blank', 'as the device has it');
    END IF;
    RETURN payload || jsonb_build_object(own, address);
END
$body$;

CREATE FUNCTION {schema}.notifyctl_payload(channel text, content jsonb, variables jsonb, templated boolean)
 RETURNS jsonb
 LANGUAGE plpgsql
AS $body$
DECLARE
    fields CONSTANT text[] := CASE channel
        WHEN 'email' THEN '{to,to_name,subject,text,html,from,reply_to,cc,bcc,attachments,headers,categories,custom_args,template_id,template_data,asm,tracking_settings,mail_settings,ip_pool_name}'
        WHEN 'sms' THEN '{to,body,from,media,validity_seconds,status_callback,template_id,template_data,smart_encoded,shorten_urls,send_as_mms,risk_check,content_retention,address_retention}'
        WHEN 'push' THEN '{token,fid,topic,condition,title,body,image,data,android,apns,webpush,fcm_options,validate_only}'
    END::text[];
    rendered CONSTANT text[] := CASE WHEN templated THEN
        CASE channel WHEN 'email' THEN '{subject,text,html}' WHEN 'sms' THEN '{body}' ELSE '{title,body}' END::text[]
        ELSE '{}' END;
    unfit text;
BEGIN
    IF fields IS NULL THEN
        PERFORM {schema}.notifyctl_refuse('NC002', 'channel: ' || coalesce(quote_literal(left(channel, 80)), 'NULL') || ' is none', 'email, sms or push');
    ELSIF content IS NULL AND NOT templated THEN
        PERFORM {schema}.notifyctl_refuse('NC002', 'there is nothing to send', 'content => an object with the fields of its channel, or template => a name');
    ELSIF jsonb_typeof(content) <> 'object' OR jsonb_typeof(variables) <> 'object' THEN
        PERFORM {schema}.notifyctl_refuse('NC002', 'content and variables are objects', 'content => jsonb_build_object(...)');
    ELSIF variables IS NOT NULL AND NOT templated THEN
        PERFORM {schema}.notifyctl_refuse('NC002', 'variables go with a template', 'template => a name');
    ELSIF content ? 'v' AND content -> 'v' <> '1' THEN
        PERFORM {schema}.notifyctl_refuse('NC002', 'content: v is 1, no other version is written', 'leave it out');
    END IF;
    content := coalesce(content, '{}');
    IF content - fields - 'v' <> '{}' THEN
        PERFORM {schema}.notifyctl_refuse('NC002', 'content: ' || channel || ' has no ' || (
            SELECT string_agg(k, ', ' ORDER BY k COLLATE "C") FROM jsonb_object_keys(content - fields - 'v') AS k
        ), 'it has ' || array_to_string(fields, ', '));
    ELSIF templated AND content ?| rendered THEN
        PERFORM {schema}.notifyctl_refuse('NC002', 'content: ' || (
            SELECT min(k) FROM unnest(rendered) AS k WHERE content ? k
        ) || ': the template says that', 'variables => jsonb_build_object(...) gives it its values');
    END IF;
    IF content @? '$.* ? (@ == null)' THEN
        SELECT coalesce(jsonb_object_agg(e.key, e.value), '{}') INTO content
          FROM jsonb_each(content) AS e WHERE jsonb_typeof(e.value) <> 'null';
    END IF;
    IF content ?| '{to,token,fid,topic,condition}' THEN
        SELECT min(e.key) INTO unfit FROM jsonb_each(content) AS e
         WHERE e.key IN ('to', 'token', 'fid', 'topic', 'condition')
           AND (jsonb_typeof(e.value) <> 'string' OR e.value = '""');
        IF unfit IS NOT NULL THEN
            PERFORM {schema}.notifyctl_refuse('NC002', 'content: ' || unfit || ': must be text, and not empty', 'leave it out, and the user''s own address is taken');
        END IF;
    END IF;
    IF content ? (CASE channel WHEN 'push' THEN 'token' ELSE 'to' END) THEN
        content := {schema}.notifyctl_addressed(content, channel);
    END IF;
    IF templated THEN
        content := content || jsonb_build_object('variables', coalesce(variables, '{}'));
    END IF;
    RETURN content || '{"v": 1}';
END
$body$;

CREATE FUNCTION {schema}.notifyctl_apart(payload jsonb)
 RETURNS jsonb
 LANGUAGE sql
AS $body$
    SELECT jsonb_set(payload, '{attachments}', coalesce(jsonb_agg(CASE
               WHEN jsonb_typeof(e.value -> 'content') = 'string' AND e.value -> 'content' <> '""'
               THEN (e.value - 'content') || jsonb_build_object(
                   'digest', encode(sha256(convert_to(e.value ->> 'content', 'UTF8')), 'hex'),
                   'size', length(e.value ->> 'content'))
               ELSE e.value END ORDER BY e.place), '[]'))
      FROM jsonb_array_elements(payload -> 'attachments') WITH ORDINALITY AS e(value, place)
$body$;

CREATE FUNCTION {schema}.notifyctl_references(payload jsonb)
 RETURNS TABLE(digest text, size bigint)
 LANGUAGE sql
AS $body$
    SELECT e.value ->> 'digest', CASE WHEN (e.value -> 'size')::text ~ '^[0-9]{1,9}$' THEN (e.value ->> 'size')::bigint ELSE 0 END
      FROM jsonb_array_elements(payload -> 'attachments') AS e
     WHERE jsonb_typeof(e.value) = 'object' AND NOT e.value ? 'content' AND e.value ->> 'digest' ~ '^[0-9a-f]{64}$'
$body$;

CREATE FUNCTION {schema}.notifyctl_attach(notification text, payload jsonb, stored jsonb)
 RETURNS void
 LANGUAGE plpgsql
AS $body$
DECLARE
    file record;
BEGIN
    FOR file IN
        SELECT DISTINCT encode(sha256(convert_to(e.value ->> 'content', 'UTF8')), 'hex') AS digest, e.value ->> 'content' AS content
          FROM jsonb_array_elements(payload -> 'attachments') AS e
         WHERE jsonb_typeof(e.value -> 'content') = 'string' AND e.value -> 'content' <> '""' ORDER BY 1
    LOOP
        LOOP
            INSERT INTO {schema}.attachments (digest, size) VALUES (file.digest, length(file.content)) ON CONFLICT DO NOTHING;
            IF FOUND THEN
                INSERT INTO {schema}.attachment_pieces (digest, number, content)
                SELECT file.digest, p.number, substr(file.content, p.number * 1048576 + 1, 1048576)
                  FROM generate_series(0, (length(file.content) - 1) / 1048576) AS p(number);
                EXIT;
            END IF;
            PERFORM 1 FROM {schema}.attachments a WHERE a.digest = file.digest FOR KEY SHARE;
            EXIT WHEN FOUND;
        END LOOP;
    END LOOP;
    INSERT INTO {schema}.notification_attachments (notification_id, digest)
    SELECT DISTINCT notification, a.digest
      FROM {schema}.notifyctl_references(stored) AS r JOIN {schema}.attachments a ON a.digest = r.digest;
END
$body$;

-- What webhooks are told of what is new, as `store/queue/outbox.py` writes it: a row for each that listens. Who deletes a
-- webhook meanwhile is waited for, so that no row refers to what is gone.
CREATE FUNCTION {schema}.notifyctl_tell_created(notification text)
 RETURNS void
 LANGUAGE plpgsql
AS $body$
DECLARE
    hook record;
    made record;
    at text;
    said text;
BEGIN
    SELECT n.* INTO made FROM {schema}.notifications n WHERE n.id = notification;
    at := lpad(to_hex(made.created_at), 12, '0');
    said := '{"type":"notification.created","timestamp":"'
        || to_char(to_timestamp(made.created_at / 1000) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS')
        || '.' || lpad(mod(made.created_at, 1000)::text, 3, '0') || 'Z","version":1,"data":{"notification_id":"' || made.id
        || '","user_id":"' || made.user_id || '","channel":"' || made.message_type
        || '","provider":' || to_json(made.provider)::text || ',"status":"' || made.status || '","attempts":' || made.attempt_count
        || coalesce(',"category":' || to_json(made.category)::text, '')
        || coalesce(',"template_id":"' || made.template_id || '","template_version":' || made.template_version, '')
        || coalesce(',"batch_id":"' || made.batch_id || '"', '') || '}}';
    FOR hook IN
        SELECT w.id, w.is_active FROM {schema}.notification_webhooks w
         WHERE (w.user_id = made.user_id OR w.all_users)
           AND (strpos(w.events, '"notification.*"') > 0 OR strpos(w.events, '"notification.created"') > 0)
         ORDER BY w.id FOR KEY SHARE
    LOOP
        -- A UUID that sorts by when it was made (RFC 9562, 5.7).
        INSERT INTO {schema}.webhook_deliveries (id, webhook_id, notification_id, event_type, payload, attempt_count, created_at, next_retry_at, ended)
        VALUES (left(at, 8) || '-' || right(at, 4) || '-7' || substr(gen_random_uuid()::text, 16), hook.id, made.id,
            'notification.created', said, 0, made.created_at, CASE WHEN hook.is_active THEN made.created_at END,
            CASE WHEN NOT hook.is_active THEN 'disabled' END);
    END LOOP;
END
$body$;

CREATE FUNCTION {schema}.notifyctl_store(given_user text, given_channel text, given_content jsonb, given_key text, given_at timestamp with time zone, given_delay interval, given_expiry interval, given_template text, given_variables jsonb, given_category text, given_provider text, given_retries integer, given_critical boolean, given_batch text, OUT made text, OUT known boolean, OUT due boolean)
 RETURNS record
 LANGUAGE plpgsql
AS $body$
DECLARE
    moment bigint := (extract(epoch from clock_timestamp()) * 1000)::bigint;
    payload jsonb := {schema}.notifyctl_payload(given_channel, given_content, given_variables, given_template IS NOT NULL);
    stored jsonb := payload;
    has_files boolean := jsonb_typeof(payload -> 'attachments') = 'array' AND payload -> 'attachments' <> '[]';
    owner text := {schema}.notifyctl_user(given_user);
    retries integer := coalesce(given_retries, 5);
    critical boolean := coalesce(given_critical, false);
    topic text := nullif(given_category, '');
    template record;
    template_id text;
    template_name text := given_template;
    template_version integer;
    provider text;
    lookup text;
    digest text;
    send_at bigint;
    expires_at bigint;
    bytes bigint;
    said text := {schema}.notifyctl_canonical(payload - 'v');
    written text;
    former_id text;
    former_digest text;
BEGIN
    IF {schema}.notifyctl_trimmed(given_key) = '' THEN
        PERFORM {schema}.notifyctl_refuse('NC002', 'key: it is empty', 'leave it out, or give what tells this submission from others');
    ELSIF retries NOT BETWEEN 0 AND 1000 THEN
        PERFORM {schema}.notifyctl_refuse('NC002', 'max_retries: from 0 to 1000', 'leave it out, and it is 5');
    ELSIF given_at IS NOT NULL AND given_delay IS NOT NULL THEN
        PERFORM {schema}.notifyctl_refuse('NC002', 'send_at and delay exclude each other', 'give one of them');
    ELSIF given_expiry < '1 millisecond' THEN
        PERFORM {schema}.notifyctl_refuse('NC002', 'expires_in: ' || given_expiry::text || ' is no time at all', 'leave it out, and it is never too late');
    END IF;
    made := gen_random_uuid();  -- which is also as good a key as any, where none is given
    lookup := encode(sha256(convert_to(owner, 'UTF8') || decode('00', 'hex') || convert_to(coalesce(given_key, made), 'UTF8')), 'hex');
    IF given_template IS NOT NULL THEN
        template := {schema}.notifyctl_template(given_template, given_channel);
        template_id := template.id;
        template_name := coalesce(template.name, given_template);
        template_version := template.version;
        topic := coalesce(topic, template.category);
    END IF;
    digest := encode(sha256(convert_to(
        '{' || coalesce('"category":' || to_json(topic)::text || ',', '')
        || '"channel":"' || given_channel || '","content":' || said
        || coalesce(',"provider":' || to_json(given_provider)::text, '')
        || coalesce(',"template":' || to_json(template_name)::text, '')
        || ',"user":"' || owner || '"}', 'UTF8')), 'hex');
    IF given_key IS NOT NULL THEN
        SELECT n.id, n.content_hash INTO former_id, former_digest FROM {schema}.notifications n WHERE n.idempotency_key = lookup;
    END IF;
    IF former_id IS NULL THEN
        IF given_template IS NOT NULL THEN
            IF template.state IS NOT NULL THEN
                PERFORM {schema}.notifyctl_refuse(template.state, template.message, template.hint);
            END IF;
        END IF;
        IF topic IS NOT NULL THEN
            IF NOT EXISTS (SELECT FROM {schema}.categories c WHERE c.name = topic) THEN
                PERFORM {schema}.notifyctl_refuse('NC003', 'there is no category ' || quote_literal(left(topic, 80)), 'notifyctl categories list');
            END IF;
        END IF;
        provider := {schema}.notifyctl_provider(given_provider, given_channel);
        send_at := {schema}.notifyctl_moment(given_at, given_delay, moment);
        expires_at := {schema}.notifyctl_after(coalesce(send_at, moment), given_expiry, 'expires_in');
        IF has_files THEN
            stored := {schema}.notifyctl_apart(payload);
            SELECT nullif(sum(r.size), 0) INTO bytes FROM {schema}.notifyctl_references(stored) AS r;
        END IF;
        -- Where no name follows it, "v" stands last.
        IF has_files OR payload ?| '{validate_only,validity_seconds,variables,webpush}' OR said = '{}' THEN
            written := {schema}.notifyctl_canonical(stored);
        ELSE
            written := left(said, -1) || ',"v":1}';
        END IF;
        LOOP
            INSERT INTO {schema}.notifications (id, user_id, idempotency_key, message_type, provider, payload, max_retries,
                created_at, send_at, due_at, expires_at, content_hash, fails_over, attached_bytes, template_id,
                template_version, category, is_critical, batch_id)
            VALUES (made, owner, lookup, given_channel, provider, written, retries,
                moment, send_at, coalesce(send_at, moment), expires_at, digest, given_provider IS NULL, bytes, template_id,
                template_version, topic, critical, given_batch)
            ON CONFLICT (idempotency_key) DO NOTHING;
            IF FOUND THEN
                IF has_files THEN
                    PERFORM {schema}.notifyctl_attach(made, payload, stored);
                END IF;
                IF given_batch IS NULL THEN
                    INSERT INTO {schema}.audit_logs (id, action, resource_type, resource_id, actor, user_agent, changes, created_at)
                    VALUES (gen_random_uuid(), 'create', 'notification', made, session_user, 'notifyctl_submit ' || session_user,
                        '{"user_id":"' || owner || '","message_type":"' || given_channel || '","provider":"' || provider
                        || '","send_at":' || coalesce(send_at::text, 'null')
                        || coalesce(',"template_id":"' || template_id || '","template_version":' || template_version, '')
                        || coalesce(',"category":' || to_json(topic)::text, '')
                        || CASE WHEN critical THEN ',"is_critical":true}' ELSE '}' END, moment);
                END IF;
                IF EXISTS (SELECT FROM {schema}.notification_webhooks) THEN
                    PERFORM {schema}.notifyctl_tell_created(made);
                END IF;
                known := false;
                due := coalesce(send_at, moment) <= moment;
                RETURN;
            END IF;
            SELECT n.id, n.content_hash INTO former_id, former_digest FROM {schema}.notifications n WHERE n.idempotency_key = lookup;
            EXIT WHEN FOUND;
        END LOOP;
    END IF;
    IF former_digest <> digest THEN
        PERFORM {schema}.notifyctl_refuse('NC005', 'the idempotency key ' || quote_literal(given_key) || ' was used for notification ' || former_id || ', with other content', 'notifyctl notifications show ' || former_id || ', or choose another key');
    END IF;
    made := former_id;
    known := true;
    due := false;
END
$body$;

CREATE FUNCTION {schema}.notifyctl_moment(given_at timestamp with time zone, given_delay interval, moment bigint)
 RETURNS bigint
 LANGUAGE plpgsql
AS $body$
DECLARE
    at bigint;
BEGIN
    IF given_at IS NULL THEN
        RETURN CASE WHEN given_delay IS NULL THEN NULL ELSE {schema}.notifyctl_after(moment, given_delay, 'delay') END;
    ELSIF NOT isfinite(given_at) OR given_at >= '10000-01-01 00:00:00+00' OR given_at < '1970-01-01 00:00:00+00' THEN
        PERFORM {schema}.notifyctl_refuse('NC002', 'send_at: out of range', 'a moment before the year 10000');
    END IF;
    at := floor(extract(epoch from given_at) * 1000)::bigint;
    -- What is now for the transaction is not past.
    IF given_at < transaction_timestamp() AND at < moment THEN
        PERFORM {schema}.notifyctl_refuse('NC002', 'send_at: ' || to_char(given_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') || ' is past', 'leave it out, and it is sent at once');
    END IF;
    RETURN at;
END
$body$;

CREATE FUNCTION {schema}.notifyctl_after(moment bigint, distance interval, argument text)
 RETURNS bigint
 LANGUAGE plpgsql
AS $body$
DECLARE
    milliseconds numeric := floor(extract(epoch from distance) * 1000);
BEGIN
    IF distance IS NULL THEN
        RETURN NULL;
    ELSIF milliseconds NOT BETWEEN 0 AND 253402300799999 - moment THEN
        PERFORM {schema}.notifyctl_refuse('NC002', argument || ': ' || distance::text || ' is out of range', 'like 2 hours, and not after the year 9999');
    END IF;
    RETURN moment + milliseconds::bigint;
END
$body$;

CREATE FUNCTION {schema}.notifyctl_submit("user" text, channel text, content jsonb DEFAULT NULL, key text DEFAULT NULL, send_at timestamp with time zone DEFAULT NULL, delay interval DEFAULT NULL, expires_in interval DEFAULT NULL, template text DEFAULT NULL, variables jsonb DEFAULT NULL, category text DEFAULT NULL, provider text DEFAULT NULL, max_retries integer DEFAULT 5, critical boolean DEFAULT false, wake boolean DEFAULT true, OUT id text, OUT deduplicated boolean)
 RETURNS record
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $body$
DECLARE
    stored record := {schema}.notifyctl_store("user", channel, content, key, send_at, delay, expires_in, template, variables, category, provider, max_retries, critical, NULL);
BEGIN
    IF stored.due AND coalesce(wake, true) THEN
        PERFORM pg_notify('notifyctl_due', '');
    END IF;
    id := stored.made;
    deduplicated := stored.known;
END
$body$;

CREATE FUNCTION {schema}.notifyctl_submit_many(submissions jsonb, wake boolean DEFAULT true)
 RETURNS TABLE(id text, deduplicated boolean)
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $body$
#variable_conflict use_column
DECLARE
    batch text;
    item record;
    stored record;
    keys bytea[] := '{}';
    ids text[] := '{}';
    repeats boolean[] := '{}';
    rung boolean := false;
    place bigint;
    state text;
    message text;
    hint text;
BEGIN
    IF submissions IS NULL OR jsonb_typeof(submissions) <> 'array' THEN
        PERFORM {schema}.notifyctl_refuse('NC002', 'submissions: an array of objects', 'each with the arguments of notifyctl_submit by name');
    ELSIF jsonb_array_length(submissions) > 1 THEN
        batch := gen_random_uuid();
    END IF;
    BEGIN
        FOR item IN SELECT e.value AS said, e.place FROM jsonb_array_elements(submissions) WITH ORDINALITY AS e(value, place)
        LOOP
            place := item.place;
            PERFORM {schema}.notifyctl_require_arguments(item.said);
            keys[place] := sha256(convert_to({schema}.notifyctl_user(item.said ->> 'user'), 'UTF8') || decode('00', 'hex')
                                  || convert_to(item.said ->> 'key', 'UTF8'));
        END LOOP;
        -- In one order, so that two who submit the same wait for each other one way only.
        FOR item IN
            SELECT e.value AS said, e.place
              FROM unnest(keys) WITH ORDINALITY AS k(key, place) JOIN jsonb_array_elements(submissions) WITH ORDINALITY AS e(value, place) USING (place)
             ORDER BY k.key, e.place
        LOOP
            place := item.place;
            stored := {schema}.notifyctl_store(
                item.said ->> 'user', item.said ->> 'channel', nullif(item.said -> 'content', 'null'), item.said ->> 'key',
                (item.said ->> 'send_at')::timestamptz, (item.said ->> 'delay')::interval,
                (item.said ->> 'expires_in')::interval, item.said ->> 'template', nullif(item.said -> 'variables', 'null'),
                item.said ->> 'category', item.said ->> 'provider', (item.said ->> 'max_retries')::integer,
                (item.said ->> 'critical')::boolean, batch);
            ids[place] := stored.made;
            repeats[place] := stored.known;
            rung := rung OR stored.due;
        END LOOP;
    EXCEPTION WHEN SQLSTATE 'NC002' OR SQLSTATE 'NC003' OR SQLSTATE 'NC005' OR invalid_text_representation
        OR invalid_datetime_format OR datetime_field_overflow OR interval_field_overflow OR numeric_value_out_of_range THEN
        GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT;
        IF NOT starts_with(state, 'NC') THEN
            state := 'NC002';
            hint := 'send_at is a moment with its offset, delay and expires_in are intervals, max_retries is a number, critical true or false';
        END IF;
        PERFORM {schema}.notifyctl_refuse(state, CASE WHEN batch IS NULL THEN message ELSE 'submission ' || place || ': ' || message END, hint);
    END;
    IF batch IS NOT NULL AND false = ANY (repeats) THEN
        PERFORM {schema}.notifyctl_account(batch, (SELECT array_agg(m.id) FROM unnest(ids, repeats) AS m(id, known) WHERE NOT m.known));
    END IF;
    IF rung AND coalesce(wake, true) THEN
        PERFORM pg_notify('notifyctl_due', '');
    END IF;
    RETURN QUERY SELECT m.id, m.known FROM unnest(ids, repeats) WITH ORDINALITY AS m(id, known, place) ORDER BY m.place;
END
$body$;

CREATE FUNCTION {schema}.notifyctl_require_arguments(said jsonb)
 RETURNS void
 LANGUAGE plpgsql
AS $body$
DECLARE
    names CONSTANT text[] := '{user,channel,content,key,send_at,delay,expires_in,template,variables,category,provider,max_retries,critical}';
    unknown text;
BEGIN
    IF jsonb_typeof(said) <> 'object' THEN
        PERFORM {schema}.notifyctl_refuse('NC002', 'it is no object', 'with the arguments of notifyctl_submit by name');
    END IF;
    SELECT string_agg(k, ', ' ORDER BY k COLLATE "C") INTO unknown FROM jsonb_object_keys(said) AS k WHERE k <> ALL (names);
    IF unknown IS NOT NULL THEN
        PERFORM {schema}.notifyctl_refuse('NC002', 'there is no argument ' || unknown, 'there are ' || array_to_string(names, ', '));
    END IF;
    SELECT min(e.key COLLATE "C") INTO unknown FROM jsonb_each(said) AS e
     WHERE e.key NOT IN ('content', 'variables')
       AND (jsonb_typeof(e.value) IN ('object', 'array') OR jsonb_typeof(e.value) = 'boolean' AND e.key <> 'critical');
    IF unknown IS NOT NULL THEN
        PERFORM {schema}.notifyctl_refuse('NC002', unknown || ': is ' || CASE jsonb_typeof(said -> unknown)
            WHEN 'boolean' THEN 'a boolean' WHEN 'array' THEN 'an array' ELSE 'an object' END, 'only content and variables are objects, and only critical is a boolean');
    ELSIF said ->> 'send_at' !~ '(Z|z|[+-][0-9]{2}(:?[0-9]{2}){0,2})$' THEN
        PERFORM {schema}.notifyctl_refuse('NC002', 'send_at: ' || quote_literal(left(said ->> 'send_at', 80)) || ' has no offset, so it names no moment', 'like 2030-10-25T09:00:00+01:00');
    END IF;
END
$body$;

CREATE FUNCTION {schema}.notifyctl_account(batch text, ids text[])
 RETURNS void
 LANGUAGE plpgsql
AS $body$
DECLARE
    moment bigint := (extract(epoch from clock_timestamp()) * 1000)::bigint;
    digest text;
BEGIN
    SELECT encode(sha256(convert_to(string_agg(i, chr(10) ORDER BY i COLLATE "C"), 'UTF8')), 'hex') INTO digest FROM unnest(ids) AS i;
    INSERT INTO {schema}.batches (id, source, created_at, updated_at) VALUES (batch, 'application', moment, moment);
    INSERT INTO {schema}.audit_logs (id, action, resource_type, resource_id, actor, user_agent, changes, created_at)
    VALUES (gen_random_uuid(), 'submit', 'batch', batch, session_user, 'notifyctl_submit ' || session_user,
        '{"count":' || cardinality(ids) || ',"ids_sha256":"' || digest || '"}', moment);
END
$body$;

REVOKE ALL ON FUNCTION
    {schema}.notifyctl_refuse,
    {schema}.notifyctl_trimmed,
    {schema}.notifyctl_canonical,
    {schema}.notifyctl_id_bounds,
    {schema}.notifyctl_user,
    {schema}.notifyctl_template,
    {schema}.notifyctl_provider,
    {schema}.notifyctl_addressed,
    {schema}.notifyctl_payload,
    {schema}.notifyctl_apart,
    {schema}.notifyctl_references,
    {schema}.notifyctl_attach,
    {schema}.notifyctl_tell_created,
    {schema}.notifyctl_store,
    {schema}.notifyctl_moment,
    {schema}.notifyctl_after,
    {schema}.notifyctl_submit,
    {schema}.notifyctl_submit_many,
    {schema}.notifyctl_require_arguments,
    {schema}.notifyctl_account
FROM PUBLIC;
