import { expect, test } from '@playwright/test';

test('what one tab adds, the other shows', async ({ page, context }) => {
  const other = await context.newPage();
  await Promise.all([page.goto('./'), other.goto('./')]);
  await page.getByLabel('What, one a line').fill('milk\nbread');
  await page.getByRole('button', { name: 'Add' }).click();
  await expect(other.getByRole('listitem')).toHaveText(['milk', 'bread']);
  await other.getByLabel('milk').check();
  await expect(page.getByRole('listitem')).toHaveText(['bread', 'milk']);
});

test('while another writer holds the lock, what is added waits', async ({ page, context }) => {
  const holder = await context.newPage();
  await page.goto('./');
  await holder.goto('./');
  // In another tab, a writer with an open transaction.
  await holder.evaluate(async () => {
    const { holdWriteLock } = await import('./node_modules/framelock/dist/testing/index.js');
    globalThis.release = await holdWriteLock('todo');
  });
  await page.getByLabel('What, one a line').fill('milk');
  await page.getByRole('button', { name: 'Add' }).click();
  await expect(page.locator('#note')).toHaveText('1 will be added when the other tab lets go');
  await expect(page.getByRole('listitem')).toHaveCount(0);
  await holder.evaluate(() => release());
  await expect(page.getByRole('listitem')).toHaveText(['milk']);
});
