import { command } from '../command.ts';
import { EXIT } from '../exit.ts';
import { completionScript, SHELLS, type Shell } from './script.ts';

export const completionCommand = command({
  usage: 'completion <shell>',
  about: 'Print a shell completion script',
  options: (y) =>
    y
      .positional('shell', {
        type: 'string',
        choices: SHELLS,
        demandOption: true,
        describe: 'the shell you use',
      })
      .epilog(
        'To install it:\n' +
          '  vmic completion bash > /usr/share/bash-completion/completions/vmic\n' +
          '  vmic completion zsh > /usr/local/share/zsh/site-functions/_vmic\n' +
          '  vmic completion fish > /etc/fish/completions/vmic.fish',
      ),
  run: ({ out }, { shell }) => {
    out(completionScript(shell as Shell));
    return EXIT.ok;
  },
});
