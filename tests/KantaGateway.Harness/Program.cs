using System.CommandLine;
using KantaGateway.Harness;
using Spectre.Console;

// In a file or a pipe nobody sees a margin, and wrapped lines can't be searched.
if (Console.IsOutputRedirected)
    AnsiConsole.Profile.Width = 240;

return await Commands.RunAsync(args, new InvocationConfiguration()).ConfigureAwait(false);
