weir_test(test_pool_options SOURCES test_options.c LINK weir_static LABELS unit A1)
weir_test(test_pool_manager_file SOURCES test_manager_file.c LINK weir_static LABELS unit A12)
weir_test(test_pool_sizing SOURCES test_sizing.c LINK weir_static m LABELS unit A11)
