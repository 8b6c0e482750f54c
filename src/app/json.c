/* json.c: named values as Python's json.dumps writes them, so that a file of Wick's tracker is TorchX's to the byte.
 *
 * The JSON library that reads them cannot write them so: it prints 0.1 with 17 digits and escapes in capitals.
 */
#include "app/app.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- write ---- */

/* The next code point of UTF-8, U+FFFD for a byte that begins none. */
static uint32_t next_point(const unsigned char **at) {
    const unsigned char *p = *at;
    int more = *p >= 0xf0 && *p < 0xf5 ? 3 : *p >= 0xe0 && *p < 0xf0 ? 2 : *p >= 0xc2 && *p < 0xe0 ? 1 : 0;
    uint32_t point = more == 3 ? *p & 7u : more == 2 ? *p & 15u : more == 1 ? *p & 31u : *p;
    static const uint32_t least[] = { 0, 0x80, 0x800, 0x10000 };
    *at = p + 1;
    if (*p < 0x80) return point;
    for (int i = 1; i <= more; i++) {
        if ((p[i] & 0xc0) != 0x80) return 0xfffd;
        point = point << 6 | (p[i] & 0x3fu);
    }
    if (more == 0 || point < least[more] || point > 0x10ffff || (point >= 0xd800 && point < 0xe000)) return 0xfffd;
    *at = p + 1 + more;
    return point;
}

void wk__json_put_text(wk_text *out, const char *text) {
    static const char special[] = "\"\\\n\r\t\b\f";
    static const char letters[] = "\"\\nrtbf";
    wk_text_puts(out, "\"");
    for (const unsigned char *at = (const unsigned char *)text; *at;) {
        uint32_t point = next_point(&at);
        const char *found = point < 0x80 ? strchr(special, (int)point) : NULL;
        if (found)
            wk_text_printf(out, "\\%c", letters[found - special]);
        else if (point >= 0x20 && point < 0x80)
            wk_text_printf(out, "%c", (int)point);
        else if (point < 0x10000)
            wk_text_printf(out, "\\u%04x", point);
        else
            wk_text_printf(out, "\\u%04x\\u%04x", 0xd800 + ((point - 0x10000) >> 10),
                           0xdc00 + ((point - 0x10000) & 0x3ff));
    }
    wk_text_puts(out, "\"");
}

/* repr(float): the fewest digits that read back equal, with an exponent below 1e-4 and from 1e16 on. */
void wk__json_put_number(wk_text *out, double number) {
    char digits[40];
    if (isnan(number)) {
        wk_text_puts(out, "NaN");
        return;
    }
    if (isinf(number)) {
        wk_text_puts(out, number > 0 ? "Infinity" : "-Infinity");
        return;
    }
    int precision = 0;
    do (void)snprintf(digits, sizeof digits, "%.*e", precision, number);
    while (strtod(digits, NULL) != number && ++precision < 17);
    int exponent = (int)strtol(strchr(digits, 'e') + 1, NULL, 10);
    if (exponent >= -4 && exponent < 16) {
        int places = precision - exponent;
        (void)snprintf(digits, sizeof digits, "%.*f", places > 1 ? places : 1, number);
    }
    wk_text_puts(out, digits);
}

static void put_value(wk_text *out, const wk_field *field) {
    switch (field->type) {
    case WK_FIELD_TEXT: wk__json_put_text(out, field->text ? field->text : ""); break;
    case WK_FIELD_INT: wk_text_printf(out, "%lld", (long long)field->integer); break;
    case WK_FIELD_FLOAT: wk__json_put_number(out, field->number); break;
    case WK_FIELD_BOOL: wk_text_puts(out, field->integer ? "true" : "false"); break;
    case WK_FIELD_NONE: wk_text_puts(out, "null"); break;
    case WK_FIELD_JSON: wk_text_puts(out, field->text ? field->text : "null"); break;
    }
}

wk_status wk__json_put_fields(wk_text *out, const wk_field *fields, size_t count, int indent) {
    wk_text_puts(out, "{");
    for (size_t i = 0; i < count; i++) {
        if (!fields[i].name || !*fields[i].name) return wk_fail(WK_INVALID, "field %zu of %zu has no name", i, count);
        if (indent)
            wk_text_printf(out, "%s\n%*s", i ? "," : "", indent, "");
        else if (i)
            wk_text_puts(out, ", ");
        wk__json_put_text(out, fields[i].name);
        wk_text_puts(out, ": ");
        put_value(out, &fields[i]);
    }
    wk_text_puts(out, indent && count ? "\n}" : "}");
    return out->failed ? wk_error_code() : WK_OK;
}

/* ---- read ---- */

typedef struct owner {
    wk__arena arena;
    size_t room;
} owner;

wk_fields *wk__fields_new(void) {
    wk_fields *fields = wk_alloc(sizeof *fields);
    if (fields && !(fields->owner = wk_alloc(sizeof(owner)))) {
        wk_free(fields);
        return NULL;
    }
    return fields;
}

void wk_fields_free(wk_fields *fields) {
    if (!fields) return;
    wk__arena_destroy(&((owner *)fields->owner)->arena);
    wk_free(fields->owner);
    wk_free(fields->items);
    wk_free(fields);
}

const wk_field *wk_fields_find(const wk_fields *fields, const char *name) {
    for (size_t i = 0; i < fields->count; i++)
        if (strcmp(fields->items[i].name, name) == 0) return &fields->items[i];
    return NULL;
}

static const char *keep(owner *own, const char *text) {
    size_t size = strlen(text) + 1;
    char *copy = wk__arena_take(&own->arena, size);
    if (copy) memcpy(copy, text, size);
    return copy;
}

static wk_status set_value(owner *own, wk_field *field, const json_t *value) {
    switch (json_typeof(value)) {
    case JSON_STRING:
        field->type = WK_FIELD_TEXT;
        field->text = keep(own, json_string_value(value));
        break;
    case JSON_INTEGER:
        field->type = WK_FIELD_INT;
        field->integer = json_integer_value(value);
        field->number = (double)field->integer;
        break;
    case JSON_REAL:
        field->type = WK_FIELD_FLOAT;
        field->number = json_real_value(value);
        break;
    case JSON_TRUE:
    case JSON_FALSE:
        field->type = WK_FIELD_BOOL;
        field->integer = json_is_true(value);
        break;
    case JSON_NULL: field->type = WK_FIELD_NONE; break;
    case JSON_OBJECT:
    case JSON_ARRAY: {
        char *text = json_dumps(value, 0);
        field->type = WK_FIELD_JSON;
        field->text = text ? keep(own, text) : NULL;
        free(text);
        if (!field->text && !wk_failed()) return wk_fail(WK_NO_MEMORY, "out of memory");
        break;
    }
    }
    return wk_error_code();
}

static wk_status add_field(wk_fields *fields, const char *name, const json_t *value) {
    owner *own = fields->owner;
    wk_field *field = (wk_field *)(uintptr_t)wk_fields_find(fields, name);
    if (!field) {
        if (fields->count == own->room) {
            size_t room = own->room ? 2 * own->room : 16;
            wk_field *items = wk_realloc(fields->items, room * sizeof *items);
            if (!items) return wk_error_code();
            fields->items = items;
            own->room = room;
        }
        field = &fields->items[fields->count];
        *field = (wk_field){ .name = keep(own, name) };
        if (!field->name) return wk_error_code();
        fields->count++;
    }
    *field = (wk_field){ .name = field->name };
    return set_value(own, field, value);
}

wk_status wk__json_read_fields(const char *text, const char *path, const char *key, wk_fields *out) {
    json_error_t error;
    wk_status status = WK_OK;
    const char *name = NULL;
    json_t *value = NULL;
    json_t *top = json_loads(text, 0, &error);
    if (!top) return wk_fail(WK_FORMAT, "%s:%d:%d: %s", path, error.line, error.column, error.text);
    json_t *object = key ? json_object_get(top, key) : top;
    if (!json_is_object(object))
        status =
            wk_fail(WK_FORMAT, "%s: expected a JSON object%s%s", path, key ? " with an object " : "", key ? key : "");
    json_object_foreach(object, name, value) {
        if (status == WK_OK) status = add_field(out, name, value);
    }
    json_decref(top);
    return status;
}
