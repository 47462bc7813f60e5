process.stdout.write('ok\n');
