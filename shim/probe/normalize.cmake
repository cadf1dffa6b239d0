# Statement text: libc only, since it goes into other people's processes.
weir_library(weir_normalize
    SOURCES comment.c fingerprint.c generated_name.c keyword.c lexer.c normalize.c split.c verb.c
    LINK weir_base)
