/* libyaml's document, whose nodes know where they began. Aliases are not followed, so the document
 * is no larger than its text. */
#include "shim/pool/manager_lines.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <string.h>
#include <yaml.h>

struct manager_lines {
    yaml_document_t document;
};

static unsigned mark_line(const yaml_mark_t *mark)
{
    return mark->line < UINT_MAX ? (unsigned)mark->line + 1 : UINT_MAX;
}

static bool node_is(const yaml_node_t *node, const char *text)
{
    return node && node->type == YAML_SCALAR_NODE && node->data.scalar.length == strlen(text) &&
           memcmp(node->data.scalar.value, text, node->data.scalar.length) == 0;
}

/* What YAML calls a mapping is empty for all others. */
static size_t pairs_count(const yaml_node_t *node)
{
    if (!node || node->type != YAML_MAPPING_NODE)
        return 0;
    return (size_t)(node->data.mapping.pairs.top - node->data.mapping.pairs.start);
}

static const yaml_node_pair_t *pair_find(struct manager_lines *lines, const yaml_node_t *mapping,
                                         const char *key)
{
    for (size_t i = 0; i < pairs_count(mapping); i++) {
        const yaml_node_pair_t *pair = &mapping->data.mapping.pairs.start[i];
        if (node_is(yaml_document_get_node(&lines->document, pair->key), key))
            return pair;
    }
    return NULL;
}

int manager_lines_read(const char *text, struct manager_lines **ret, const char **ret_reason,
                       unsigned *ret_line)
{
    struct manager_lines *lines = calloc(1, sizeof(*lines));
    yaml_parser_t parser;
    int r = 0;

    if (!lines || !yaml_parser_initialize(&parser)) {
        free(lines);
        return -ENOMEM;
    }
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, strlen(text));
    if (!yaml_parser_load(&parser, &lines->document)) {
        r = parser.error == YAML_MEMORY_ERROR ? -ENOMEM : MANAGER_LINES_E_SYNTAX;
        *ret_reason = parser.problem ? parser.problem : "this is no YAML";
        *ret_line = mark_line(&parser.problem_mark);
        free(lines); /* libyaml has ended its document */
    } else {
        *ret = lines;
    }
    yaml_parser_delete(&parser);
    return r;
}

struct manager_lines *manager_lines_free(struct manager_lines *lines)
{
    if (lines)
        yaml_document_delete(&lines->document);
    free(lines);
    return NULL;
}

static const yaml_node_t *pool_node(struct manager_lines *lines, size_t place)
{
    const yaml_node_pair_t *pair =
        pair_find(lines, yaml_document_get_root_node(&lines->document), "pools");
    const yaml_node_t *pools = pair ? yaml_document_get_node(&lines->document, pair->value) : NULL;

    if (!pools || pools->type != YAML_SEQUENCE_NODE ||
        place >= (size_t)(pools->data.sequence.items.top - pools->data.sequence.items.start))
        return NULL;
    return yaml_document_get_node(&lines->document, pools->data.sequence.items.start[place]);
}

static unsigned key_line(struct manager_lines *lines, const yaml_node_t *mapping, const char *key)
{
    const yaml_node_pair_t *pair = pair_find(lines, mapping, key);

    return pair ? mark_line(&yaml_document_get_node(&lines->document, pair->key)->start_mark) : 0;
}

unsigned manager_lines_option(struct manager_lines *lines, size_t pool, const char *key)
{
    const yaml_node_t *node = pool_node(lines, pool);
    unsigned line = key_line(lines, node, key);

    if (line == 0)
        line = node ? mark_line(&node->start_mark) : 1;
    return line;
}

unsigned manager_lines_top(struct manager_lines *lines, const char *key)
{
    return key_line(lines, yaml_document_get_root_node(&lines->document), key);
}

unsigned manager_lines_any(struct manager_lines *lines, const char *key)
{
    const yaml_node_t *node;
    unsigned line = 0;

    for (size_t i = 0; line == 0 && (node = pool_node(lines, i)); i++)
        line = key_line(lines, node, key);
    return line;
}

unsigned manager_lines_repeated(struct manager_lines *lines, const char *key)
{
    for (const yaml_node_t *node = lines->document.nodes.start; node < lines->document.nodes.top;
         node++) {
        const yaml_node_pair_t *first = pair_find(lines, node, key);
        for (size_t i = 0; first && i < pairs_count(node); i++) {
            const yaml_node_pair_t *pair = &node->data.mapping.pairs.start[i];
            const yaml_node_t *name = yaml_document_get_node(&lines->document, pair->key);
            if (pair != first && node_is(name, key))
                return mark_line(&name->start_mark);
        }
    }
    return 1;
}
