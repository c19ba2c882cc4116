using System.CommandLine;
using KantaGateway.Benchmarks;

// How fast the gateway is, and beside what: see README.md beside this file.
var root = new RootCommand("KantaGateway benchmarks") { ReadCommand.Create(), HoldCommand.Create(), TimingCommand.Create(), ServeCommand.Create() };
try
{
    return await root.Parse(args).InvokeAsync(new InvocationConfiguration { EnableDefaultExceptionHandler = false });
}
catch (BenchmarkException e)
{
    await Console.Error.WriteLineAsync(e.Message);
    return 2;
}
