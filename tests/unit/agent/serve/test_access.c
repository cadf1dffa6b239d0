/* Who may ask, and where a listener may be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "agent/serve/access.h"
#include "agent/serve/address.h"
#include "base/cleanup.h"

static void only_local_hosts_are_served(void **state)
{
    static const struct {
        const char *host, *configured;
        bool is_allowed;
    } examples[] = {
        {"localhost", "127.0.0.1", true},
        {"LOCALHOST:9348", "127.0.0.1", true},
        {"127.0.0.1:8080", "127.0.0.1", true},
        {"[::1]:9348", "::1", true},
        {"[::1]", "127.0.0.1", true},
        {"127.0.0.2:9348", "127.0.0.2", true},
        {"127.0.0.2", "127.0.0.1", false},
        {"evil.example", "127.0.0.1", false},
        {"localhost.evil.example", "127.0.0.1", false},
        {"127.0.0.1.evil", "127.0.0.1", false},
        {"", "127.0.0.1", false},
        {"", "", false},
        {"[::1]evil", "127.0.0.1", false},
        {"[::1", "127.0.0.1", false},
        {":9348", "", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(examples) / sizeof(examples[0]); i++)
        assert_int_equal(access_host_allowed(examples[i].host, examples[i].configured),
                         examples[i].is_allowed);
}

static void only_the_own_origin_is_served(void **state)
{
    (void)state;
    assert_true(access_origin_allowed("http://localhost:9348", "localhost:9348"));
    assert_true(access_origin_allowed("https://localhost:9348", "localhost:9348"));
    assert_false(access_origin_allowed("http://localhost:9349", "localhost:9348"));
    assert_false(access_origin_allowed("http://evil.example", "localhost:9348"));
    assert_false(access_origin_allowed("null", "localhost:9348"));
    assert_false(access_origin_allowed("http://localhost:9348", NULL));
}

static void only_the_token_lets_in(void **state)
{
    (void)state;
    assert_true(access_token_allowed("Bearer secret", "secret"));
    assert_true(access_token_allowed("bearer secret", "secret"));
    assert_false(access_token_allowed("Bearer secre", "secret"));
    assert_false(access_token_allowed("Bearer secrett", "secret"));
    assert_false(access_token_allowed("Bearer secretsecret", "secret"));
    assert_false(access_token_allowed("Bearer ", "secret"));
    assert_false(access_token_allowed("Bearer ", ""));
    assert_false(access_token_allowed("Basic secret", "secret"));
    assert_false(access_token_allowed(NULL, "secret"));
}

static void addresses_are_read(void **state)
{
    static const struct {
        const char *text;
        int r;
        bool is_off, is_unix, is_loopback;
    } examples[] = {
        {"127.0.0.1:9348", 0, false, false, true},
        {"127.9.9.9:1", 0, false, false, true},
        {"localhost:0", 0, false, false, true},
        {"[::1]:9348", 0, false, false, true},
        {"0.0.0.0:80", 0, false, false, false},
        {"[::]:80", 0, false, false, false},
        {":9347", 0, false, false, false},
        {"10.0.0.1:80", 0, false, false, false},
        {"/run/weir/http.sock", 0, false, true, true},
        {"unix:/a", 0, false, true, true},
        {"off", 0, true, false, false},
        {"", 0, true, false, false},
        {NULL, 0, true, false, false},
        {"9348", -EINVAL, false, false, false},
        {"127.0.0.1", -EINVAL, false, false, false},
        {"127.0.0.1:", -EINVAL, false, false, false},
        {"127.0.0.1:65536", -EINVAL, false, false, false},
        {"127.0.0.1:-1", -EINVAL, false, false, false},
        {"127.0.0.1:+1", -EINVAL, false, false, false},
        {"::1:9348", -EINVAL, false, false, false},
        {"example.org:80", -EINVAL, false, false, false},
        {"*:80", -EINVAL, false, false, false},
        {"unix:", -EINVAL, false, false, false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(examples) / sizeof(examples[0]); i++) {
        struct listen_address address;
        assert_int_equal(listen_address_parse(examples[i].text, &address), examples[i].r);
        if (examples[i].r < 0)
            continue;
        assert_int_equal(address.is_off, examples[i].is_off);
        assert_int_equal(address.is_unix, examples[i].is_unix);
        assert_int_equal(address.is_loopback, examples[i].is_loopback);
    }
    char path[300] = "/";
    struct listen_address address;
    memset(path + 1, 'a', sizeof(path) - 2);
    path[sizeof(path) - 1] = '\0';
    assert_int_equal(listen_address_parse(path, &address), -EINVAL);
}

static void no_living_socket_is_replaced(void **state)
{
    struct listen_address address;
    char path[64];

    (void)state;
    (void)snprintf(path, sizeof(path), "/tmp/weir-access-%d.sock", getpid());
    assert_int_equal(listen_address_parse(path, &address), 0);
    int first = listen_address_open(&address);
    assert_true(first >= 0);
    assert_int_equal(listen_address_open(&address), -EADDRINUSE);
    close(first);
    int second = listen_address_open(&address); /* its owner is gone */
    assert_true(second >= 0);
    close(second);
    unlink(path);

    FILE *file = fopen(path, "we"); /* not ours: a file of that name */
    assert_non_null(file);
    (void)fclose(file);
    assert_int_equal(listen_address_open(&address), -EADDRINUSE);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_local_hosts_are_served),
        cmocka_unit_test(only_the_own_origin_is_served),
        cmocka_unit_test(only_the_token_lets_in),
        cmocka_unit_test(addresses_are_read),
        cmocka_unit_test(no_living_socket_is_replaced),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
