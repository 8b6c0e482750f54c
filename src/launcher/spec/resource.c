/* resource.c: what a replica needs, in numbers or by a name.
 *
 * A name stands for a machine or a part of one.  Names come from the user's configuration (wk_resource_register), then
 * from the table of those that are always there; NAME_K is the part of it that has K of its GPUs.
 */
#include "launcher/launcher.h"
#include "launcher/spec/resource_table.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_NAMED = 256 };

typedef struct named {
    const char *name;
    int64_t cpu, gpu, memory_mb;
    int efa, neuron;
    const char *instance; /* of AWS, or NULL */
} named;

static const named built_in[] = {
#define GENERIC(name, cpu, gpu, memory)       { name, cpu, gpu, memory, 0, 0, NULL },
#define AWS(type, cpu, gpu, gib, efa, neuron) { "aws_" type, cpu, gpu, (gib)*INT64_C(983), efa, neuron, type },
    WK_GENERIC_RESOURCES(GENERIC) WK_AWS_RESOURCES(AWS)
};

/* Registered for this process; never given back, like the schedulers. */
static struct {
    wk__arena arena;
    const char *names[MOST_NAMED];
    wk_resource resources[MOST_NAMED];
    size_t count;
} own;

/* ---- copies, which outlive where they came from ---- */

static wk_status copy_pairs(wk__arena *arena, const wk_pair *from, size_t count, const wk_pair **out) {
    wk_pair *pairs = wk__arena_take(arena, (count + 1) * sizeof *pairs);
    if (!pairs) return wk_error_code();
    for (size_t i = 0; i < count; i++)
        pairs[i] = (wk_pair){ wk__arena_text(arena, "%s", from[i].key), wk__arena_text(arena, "%s", from[i].value) };
    *out = pairs;
    return wk_error_code();
}

static wk_status copy(wk__arena *arena, const wk_resource *from, wk_resource *out) {
    *out = *from;
    wk_capability *caps = wk__arena_take(arena, (from->capability_count + 1) * sizeof *caps);
    if (!caps) return wk_error_code();
    for (size_t i = 0; i < from->capability_count; i++)
        caps[i] =
            (wk_capability){ wk__arena_text(arena, "%s", from->capabilities[i].key),
                             wk__arena_text(arena, "%s", from->capabilities[i].value), from->capabilities[i].type };
    out->capabilities = caps;
    WK_TRY(copy_pairs(arena, from->devices, from->device_count, &out->devices));
    return copy_pairs(arena, from->tags, from->tag_count, &out->tags);
}

wk_status wk_resource_register(const char *name, const wk_resource *resource) {
    size_t at = 0;
    while (at < own.count && strcmp(own.names[at], name) != 0) at++;
    if (at == MOST_NAMED) return wk_fail(WK_STATE, "no room for more than %d named resources", MOST_NAMED);
    WK_TRY(copy(&own.arena, resource, &own.resources[at]));
    if (!(own.names[at] = wk__arena_text(&own.arena, "%s", name))) return wk_error_code();
    if (at == own.count) own.count++;
    return WK_OK;
}

/* ---- lookup ---- */

static wk_status expand(wk__arena *arena, const named *from, wk_resource *out) {
    wk_capability *caps = wk__arena_take(arena, sizeof *caps);
    wk_pair *devices = wk__arena_take(arena, 2 * sizeof *devices);
    wk_pair *tags = wk__arena_take(arena, sizeof *tags);
    if (!caps || !devices || !tags) return wk_error_code();
    *out = (wk_resource){ .cpu = from->cpu, .gpu = from->gpu, .memory_mb = from->memory_mb };
    out->capabilities = caps;
    out->devices = devices;
    out->tags = tags;
    tags[out->tag_count++] = (wk_pair){ "RESOURCE_NAME", from->name };
    if (from->instance)
        caps[out->capability_count++] =
            (wk_capability){ "node.kubernetes.io/instance-type", from->instance, WK_VALUE_STRING };
    if (from->efa)
        devices[out->device_count++] = (wk_pair){ "vpc.amazonaws.com/efa", wk__arena_text(arena, "%d", from->efa) };
    if (from->neuron)
        devices[out->device_count++] =
            (wk_pair){ "aws.amazon.com/neurondevice", wk__arena_text(arena, "%d", from->neuron) };
    return wk_error_code();
}

/* True if there is a resource of exactly this name. */
static bool find(wk__arena *arena, const char *name, wk_resource *out) {
    for (size_t i = 0; i < own.count; i++)
        if (strcmp(own.names[i], name) == 0) return copy(arena, &own.resources[i], out) == WK_OK;
    for (size_t i = 0; i < WK_COUNT(built_in); i++)
        if (strcmp(built_in[i].name, name) == 0) return expand(arena, &built_in[i], out) == WK_OK;
    return false;
}

/* NAME_K: K of the machine's GPUs (a power of two below their number) and the same part of everything else. */
static bool find_fraction(wk__arena *arena, const char *name, wk_resource *out) {
    const char *underscore = strrchr(name, '_');
    char *end = NULL;
    long part = underscore ? strtol(underscore + 1, &end, 10) : 0;
    if (part < 1 || *end || (part & (part - 1)) != 0) return false;
    const char *whole = wk__arena_text(arena, "%.*s", (int)(underscore - name), name);
    if (!whole || !find(arena, whole, out) || part > out->gpu) return false;
    int64_t gpus = out->gpu;
    wk_pair *devices = wk__arena_take(arena, (out->device_count + 1) * sizeof *devices);
    wk_pair *tags = wk__arena_take(arena, (out->tag_count + 1) * sizeof *tags);
    if (!devices || !tags) return false;
    out->cpu = out->cpu * part / gpus;
    out->memory_mb = out->memory_mb * part / gpus;
    out->gpu = part;
    for (size_t i = 0; i < out->device_count; i++) {
        int64_t count = strtoll(out->devices[i].value, NULL, 10) * part / gpus;
        devices[i] = (wk_pair){ out->devices[i].key, wk__arena_text(arena, "%lld", (long long)(count ? count : 1)) };
    }
    for (size_t i = 0; i < out->tag_count; i++) tags[i] = out->tags[i];
    tags[out->tag_count++] = (wk_pair){ "IS_FRACTIONAL", "true" };
    out->devices = devices;
    out->tags = tags;
    return !wk_failed();
}

static const char *nearest(const char *name) {
    const char *names[MOST_NAMED + WK_COUNT(built_in)];
    size_t count = 0;
    for (size_t i = 0; i < own.count; i++) names[count++] = own.names[i];
    for (size_t i = 0; i < WK_COUNT(built_in); i++) names[count++] = built_in[i].name;
    return wk__nearest(name, names, count);
}

static bool look_up(wk__arena *arena, const char *name, wk_resource *out) {
    return find(arena, name, out) || (!wk_failed() && find_fraction(arena, name, out));
}

wk_status wk_resource_named(const char *name, wk_resource *resource) {
    if (look_up(&own.arena, name, resource)) return WK_OK;
    const char *near = nearest(name);
    return wk_fail(WK_NOT_FOUND, "no resource is named \"%.80s\"%s%s%s", name, near ? "; did you mean \"" : "",
                   near ? near : "", near ? "\"?" : "");
}

wk_status wk_capability_get(const wk_resource *resource, const char *name_space, const char *name, wk_value_type type,
                            const char **value) {
    static const char *const types[] = { "text", "an integer", "a number", "true or false" };
    size_t space = strlen(name_space);
    for (size_t i = 0; i < resource->capability_count; i++) {
        const wk_capability *c = &resource->capabilities[i];
        if (strncmp(c->key, name_space, space) != 0 || c->key[space] != '.' || strcmp(c->key + space + 1, name) != 0)
            continue;
        if (c->type != type && !(type == WK_VALUE_FLOAT && c->type == WK_VALUE_INT))
            return wk_fail(WK_CONFIG, "capability \"%s\" must be %s, not \"%.80s\"", c->key, types[type], c->value);
        *value = c->value;
        return WK_OK;
    }
    return wk_fail(WK_NOT_FOUND, "no capability \"%s.%s\"", name_space, name);
}

/* ---- from YAML ---- */

static const char *const keys[] = { "h", "cpu", "gpu", "memMB", "capabilities", "devices", "tags" };

static wk_value_type type_of(wk__yaml *doc, const wk__yaml_node *node) {
    wk__error aside = { 0 };
    wk__error *former = wk__error_bind(&aside);
    int64_t integer = 0;
    double number = 0;
    bool flag = false;
    wk_value_type type = WK_VALUE_STRING;
    if (wk__yaml_int(doc, node, NULL, INT64_MIN, INT64_MAX, &integer) == WK_OK)
        type = WK_VALUE_INT;
    else if (wk__yaml_double(doc, node, NULL, &number) == WK_OK)
        type = WK_VALUE_FLOAT;
    else if (wk__yaml_bool(doc, node, NULL, &flag) == WK_OK)
        type = WK_VALUE_BOOL;
    (void)wk__error_bind(former);
    return type;
}

/* What the mapping says goes before what the name stands for. */
static wk_status read_capabilities(wk__yaml *doc, const wk__yaml_node *map, wk_resource *out) {
    if (!map) return WK_OK;
    WK_TRY(wk__yaml_map(doc, map, NULL));
    wk_capability *caps = wk__arena_take(&doc->arena, (map->count + out->capability_count + 1) * sizeof *caps);
    if (!caps) return wk_error_code();
    size_t count = 0;
    for (const wk__yaml_node *item = map->first; item; item = item->next) {
        const char *text = NULL;
        WK_TRY(wk__yaml_string(doc, item, NULL, &text));
        caps[count++] = (wk_capability){ item->key, text, type_of(doc, item) };
    }
    for (size_t i = 0; i < out->capability_count; i++)
        if (!wk__yaml_find(map, out->capabilities[i].key)) caps[count++] = out->capabilities[i];
    out->capabilities = caps;
    out->capability_count = count;
    return WK_OK;
}

static wk_status read_pairs(wk__yaml *doc, const wk__yaml_node *map, bool counts, const wk_pair **pairs,
                            size_t *count) {
    if (!map) return WK_OK;
    WK_TRY(wk__yaml_map(doc, map, NULL));
    wk_pair *list = wk__arena_take(&doc->arena, (map->count + *count + 1) * sizeof *list);
    if (!list) return wk_error_code();
    size_t used = 0;
    for (const wk__yaml_node *item = map->first; item; item = item->next, used++) {
        int64_t number = 0;
        if (counts) WK_TRY(wk__yaml_int(doc, item, NULL, 0, INT32_MAX, &number));
        list[used].key = item->key;
        WK_TRY(wk__yaml_string(doc, item, NULL, &list[used].value));
    }
    for (size_t i = 0; i < *count; i++)
        if (!wk__yaml_find(map, (*pairs)[i].key)) list[used++] = (*pairs)[i];
    *pairs = list;
    *count = used;
    return WK_OK;
}

static wk_status read_named(wk__yaml *doc, const wk__yaml_node *node, wk_resource *out) {
    const char *name = NULL;
    WK_TRY(wk__yaml_string(doc, node, NULL, &name));
    if (look_up(&doc->arena, name, out)) return WK_OK;
    const char *near = nearest(name);
    return wk__yaml_fail(doc, node, "no resource is named \"%.80s\"%s%s%s", name, near ? "; did you mean \"" : "",
                         near ? near : "", near ? "\"?" : "");
}

wk_status wk__resource_read(wk__yaml *doc, const wk__yaml_node *node, const char *where, wk_resource *out) {
    *out = (wk_resource){ .cpu = -1, .gpu = -1, .memory_mb = -1 };
    if (!node) return WK_OK;
    if (node->kind == WK__YAML_SCALAR) return read_named(doc, node, out);
    char within[160];
    (void)snprintf(within, sizeof within, "resource of %s", where);
    WK_TRY(wk__yaml_map(doc, node, NULL));
    WK_TRY(wk__yaml_known(doc, node, within, keys, WK_COUNT(keys)));
    const wk__yaml_node *name = wk__yaml_find(node, "h");
    if (name) WK_TRY(read_named(doc, name, out));
    int64_t *const numbers[] = { &out->cpu, &out->gpu, &out->memory_mb };
    for (size_t i = 0; i < WK_COUNT(numbers); i++) {
        const wk__yaml_node *number = wk__yaml_find(node, keys[1 + i]);
        if (number) WK_TRY(wk__yaml_int(doc, number, NULL, -1, i == 2 ? INT64_MAX : INT32_MAX, numbers[i]));
    }
    WK_TRY(read_capabilities(doc, wk__yaml_find(node, "capabilities"), out));
    WK_TRY(read_pairs(doc, wk__yaml_find(node, "devices"), true, &out->devices, &out->device_count));
    return read_pairs(doc, wk__yaml_find(node, "tags"), false, &out->tags, &out->tag_count);
}
