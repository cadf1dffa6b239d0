/* Who telemetry is about: what hello says, what the variable adds, what the agent adds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "agent/model/resource.h"
#include "proto/wire/message.h"

static const struct resource_defaults no_defaults = {{NULL, 0}, NULL, {NULL, 0}};

static bool is(const struct attributes *set, const char *key, const char *value)
{
    const struct attribute *found = attributes_find(set, view_from(key));

    return found && found->type == ATTRIBUTE_STRING &&
           view_equal(found->value.string, view_from(value));
}

static const struct attributes *from(const struct attribute *items, size_t count,
                                     const struct resource_defaults *defaults, bool expect_bad)
{
    const struct attributes *CLEANUP(attributes_unrefp) hello = attributes_new(items, count);
    bool is_bad = !expect_bad;
    const struct attributes *resource = resource_from_hello(hello, defaults, &is_bad);

    assert_non_null(resource);
    assert_int_equal(is_bad, expect_bad);
    return resource;
}

static const struct attributes *of_variable(const char *variable, bool expect_bad)
{
    const struct attribute items[] = {
        attribute_string(HELLO_KEY_RESOURCE, view_from(variable)),
        attribute_string("host.name", VIEW_LITERAL("box")),
    };

    return from(items, 2, &no_defaults, expect_bad);
}

static void the_variable_is_decoded(void **state)
{
    const struct attributes *CLEANUP(attributes_unrefp) resource = of_variable(
        "service.name=shop%20one, deployment.environment.name =\tprod%2Ceu ,,a=b=c,e=,%6b=%c3%A9,",
        false);
    (void)state;

    assert_true(is(resource, "service.name", "shop one"));
    assert_true(is(resource, "deployment.environment.name", "prod,eu"));
    assert_true(is(resource, "a", "b=c"));
    assert_true(is(resource, "e", ""));
    assert_true(is(resource, "k", "\xc3\xa9"));
    assert_true(is(resource, "host.name", "box"));
    assert_null(attributes_find(resource, VIEW_LITERAL(HELLO_KEY_RESOURCE)));
}

static void one_bad_entry_discards_the_variable(void **state)
{
    static const char *const bad[] = {
        "a=b,c=%",   "a=b,c=%4",  "a=b,c=%4g", "a=b,c=%g4",     "a=b,%=c",
        "a=b,c",     "a=b,=c",    "a=b, =c",   "a=b,c=%zz,d=e", "a=b,c=%ff", /* no UTF-8 */
        "a=b,c=%00", "a=b,c=%c3",
    };
    (void)state;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        const struct attributes *CLEANUP(attributes_unrefp) resource = of_variable(bad[i], true);
        assert_null(attributes_find(resource, VIEW_LITERAL("a")));
        assert_null(attributes_find(resource, VIEW_LITERAL("d")));
        assert_true(is(resource, "host.name", "box")); /* hello's own stay */
    }
}

static void of_the_process_alone_nothing_stays(void **state)
{
    const struct attribute items[] = {
        attribute_int("process.pid", 12),
        attribute_string("process.command", VIEW_LITERAL("/bin/shop")),
        attribute_string(HELLO_KEY_SHIM_NAME, VIEW_LITERAL("preload")),
        attribute_string(HELLO_KEY_RESOURCE, VIEW_LITERAL("process.owner=me,weir.x=y,tier=web")),
        attribute_string("processor", VIEW_LITERAL("fast")),
    };
    const struct attributes *CLEANUP(attributes_unrefp) resource =
        from(items, 5, &no_defaults, false);
    (void)state;

    for (size_t i = 0; i < resource->count; i++) {
        struct view key = resource->items[i].key;
        assert_false(key.length >= 8 && memcmp(key.bytes, "process.", 8) == 0);
        assert_false(key.length >= 5 && memcmp(key.bytes, "weir.", 5) == 0);
    }
    assert_true(is(resource, "tier", "web"));
    assert_true(is(resource, "processor", "fast"));
}

/* Each source of the name gives way to the one before it. */
static void service_names_have_an_order(void **state)
{
    const struct attribute items[] = {
        attribute_string(HELLO_KEY_SERVICE, VIEW_LITERAL("by-service-variable")),
        attribute_string(HELLO_KEY_RESOURCE, VIEW_LITERAL("service.name=by-resource-variable")),
        attribute_string("service.name", VIEW_LITERAL("by-hello")),
        attribute_string(HELLO_KEY_EXECUTABLE, VIEW_LITERAL("program")),
    };
    struct resource_defaults defaults = {.service_name = VIEW_LITERAL("by-default")};
    static const char *const names[] = {"by-service-variable", "by-resource-variable", "by-hello"};
    (void)state;

    for (size_t i = 0; i < 3; i++) {
        const struct attributes *CLEANUP(attributes_unrefp) resource =
            from(items + i, 4 - i, &defaults, false);
        assert_true(is(resource, "service.name", names[i]));
    }
    const struct attributes *CLEANUP(attributes_unrefp) by_default =
        from(items + 3, 1, &defaults, false);
    assert_true(is(by_default, "service.name", "by-default"));
    const struct attributes *CLEANUP(attributes_unrefp) by_program =
        from(items + 3, 1, &no_defaults, false);
    assert_true(is(by_program, "service.name", "program"));
    const struct attributes *CLEANUP(attributes_unrefp) unknown =
        from(NULL, 0, &no_defaults, false);
    assert_true(is(unknown, "service.name", "unknown_service"));
}

static void instance_of(const char *service, const char *seed, char ret[37])
{
    const struct attribute item = attribute_string(HELLO_KEY_SERVICE, view_from(service));
    const struct resource_defaults defaults = {.instance_seed = view_from(seed)};
    const struct attributes *CLEANUP(attributes_unrefp) resource = from(&item, 1, &defaults, false);
    struct view id = attributes_find(resource, VIEW_LITERAL("service.instance.id"))->value.string;

    assert_int_equal(id.length, 36);
    memcpy(ret, id.bytes, 36);
    ret[36] = '\0';
}

static void instance_ids_are_stable_uuids(void **state)
{
    char first[37], again[37], other[37];
    (void)state;

    for (int i = 0; i < 200; i++) {
        char seed[32];
        (void)snprintf(seed, sizeof(seed), "pod-%d/container", i);
        instance_of("shop", seed, first);
        instance_of("shop", seed, again);
        assert_string_equal(first, again);
        for (int k = 0; k < 36; k++) {
            if (k == 8 || k == 13 || k == 18 || k == 23)
                assert_int_equal(first[k], '-');
            else
                assert_non_null(strchr("0123456789abcdef", first[k]));
        }
        assert_int_equal(first[14], '8');           /* version */
        assert_non_null(strchr("89ab", first[19])); /* variant */
        instance_of("shop2", seed, other);
        assert_string_not_equal(first, other);
        instance_of("shop", "elsewhere", other);
        assert_string_not_equal(first, other);
    }
    /* A golden one: a release that computes another would begin all series anew. */
    instance_of("shop", "machine", first);
    assert_string_equal(first, "c27f93a3-ddcf-8f4e-8575-4d05cb20cc9d");
}

static void a_given_instance_id_stays(void **state)
{
    const struct attributes *CLEANUP(attributes_unrefp) resource =
        of_variable("service.instance.id=mine", false);
    (void)state;

    assert_true(is(resource, "service.instance.id", "mine"));
}

static void the_environment_fills_gaps(void **state)
{
    const struct attribute environment_items[] = {
        attribute_string("k8s.pod.name", VIEW_LITERAL("pod")),
        attribute_string("host.name", VIEW_LITERAL("node")),
    };
    const struct attributes *CLEANUP(attributes_unrefp) environment =
        attributes_new(environment_items, 2);
    const struct resource_defaults defaults = {.environment = environment};
    const struct attribute item = attribute_string("host.name", VIEW_LITERAL("own"));
    const struct attributes *CLEANUP(attributes_unrefp) resource = from(&item, 1, &defaults, false);
    (void)state;

    assert_true(is(resource, "k8s.pod.name", "pod"));
    assert_true(is(resource, "host.name", "own"));
}

static void full_hellos_still_have_a_name(void **state)
{
    struct attribute items[ATTRIBUTES_MAX];
    char keys[ATTRIBUTES_MAX][8];
    (void)state;

    for (int i = 0; i < ATTRIBUTES_MAX; i++) {
        (void)snprintf(keys[i], sizeof(keys[i]), "k%03d", i);
        items[i] = attribute_int(keys[i], i);
    }
    const struct attributes *CLEANUP(attributes_unrefp) resource =
        from(items, ATTRIBUTES_MAX, &no_defaults, false);
    assert_true(is(resource, "service.name", "unknown_service"));
    assert_non_null(attributes_find(resource, VIEW_LITERAL("service.instance.id")));
    assert_true(is(resource, "telemetry.sdk.name", "weir"));
    assert_true(resource->count <= ATTRIBUTES_MAX);
}

static void processes_of_one_instance_share_it(void **state)
{
    struct attribute items[] = {
        attribute_string(HELLO_KEY_SERVICE, VIEW_LITERAL("shop")),
        attribute_int("process.pid", 1),
    };
    const struct attributes *CLEANUP(attributes_unrefp) one = from(items, 2, &no_defaults, false);
    items[1] = attribute_int("process.pid", 2);
    const struct attributes *CLEANUP(attributes_unrefp) two = from(items, 2, &no_defaults, false);
    (void)state;

    assert_true(attributes_equal(one, two));
}

static void lists_are_read(void **state)
{
    const struct attributes *CLEANUP(attributes_unrefp) list =
        resource_attributes_from(VIEW_LITERAL("a=1,b=%32"));
    const struct attributes *CLEANUP(attributes_unrefp) empty =
        resource_attributes_from(VIEW_LITERAL(""));
    (void)state;

    assert_int_equal(list->count, 2);
    assert_true(is(list, "b", "2"));
    assert_int_equal(empty->count, 0);
    assert_null(resource_attributes_from(VIEW_LITERAL("a=1,b")));
    assert_null(resource_attributes_from(VIEW_LITERAL("a=%2")));
}

static void the_overflow_says_so(void **state)
{
    const struct attributes *CLEANUP(attributes_unrefp) overflow = resource_overflow();
    (void)state;

    assert_true(attributes_find(overflow, VIEW_LITERAL("otel.metric.overflow"))->value.boolean);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_variable_is_decoded),
        cmocka_unit_test(one_bad_entry_discards_the_variable),
        cmocka_unit_test(of_the_process_alone_nothing_stays),
        cmocka_unit_test(service_names_have_an_order),
        cmocka_unit_test(instance_ids_are_stable_uuids),
        cmocka_unit_test(a_given_instance_id_stays),
        cmocka_unit_test(the_environment_fills_gaps),
        cmocka_unit_test(full_hellos_still_have_a_name),
        cmocka_unit_test(processes_of_one_instance_share_it),
        cmocka_unit_test(lists_are_read),
        cmocka_unit_test(the_overflow_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
