/* list.c: what this floor adds to the names of a run's file. */
#include "tasks/tasks.h"

__attribute__((constructor)) static void register_all(void) {
    for (const wk_model_entry *e = wk__task_models; e->about.name; e++) (void)wk_register_model(e);
    (void)wk_register_data(&wk__text_data);
    (void)wk_register_data(&wk__tokens_data);
    (void)wk_register_data(&wk__labelled_texts);
    (void)wk_register_data(&wk__csv_data);
    (void)wk_register_data(&wk__arrays_data);
    (void)wk_register_data(&wk__shapes_data);
    (void)wk_register_data(&wk__pictures_data);
    (void)wk_register_data(&wk__implicit_downsampled);
    (void)wk_register_data(&wk__implicit_paired);
    (void)wk_register_wrapper(&wk__implicit);
    (void)wk_register_wrapper(&wk__segmentation);
    (void)wk_register_wrapper(&wk__language_model);
    (void)wk_register_wrapper(&wk__text_classifier);
    (void)wk_register_callback(&wk__pretrained_callback);
}
