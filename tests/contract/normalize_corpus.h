/* SQL made by a grammar from a seed: every kind of statement, every form of token that the scanner
 * of PostgreSQL 15 knows, white space and comments of all kinds between. The same seed makes the
 * same texts. Names, values and shapes are drawn at random; nothing is meant to run. */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum { CORPUS_TEXT_MAX = 16384 };

struct corpus {
    uint64_t random;
    size_t length;
    char text[CORPUS_TEXT_MAX];
};

static inline struct corpus *corpus_begin(struct corpus *corpus, uint64_t seed)
{
    corpus->random = seed;
    corpus->length = 0;
    return corpus;
}

/* A statement as a program would send it; longer ones are cut. NUL-terminated, in corpus->text. */
void corpus_statement(struct corpus *corpus);

/* Tokens in an order that has no grammar, often with nothing between them. */
void corpus_tokens(struct corpus *corpus);
