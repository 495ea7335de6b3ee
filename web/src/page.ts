// The page as a script of its own, beside those of the views.
import { mount } from 'svelte';
import Page from './Page.svelte';

export const show = (target: HTMLElement): unknown => mount(Page, { target });
