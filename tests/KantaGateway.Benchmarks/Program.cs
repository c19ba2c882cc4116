using System.CommandLine;
using KantaGateway.Benchmarks;

// How fast the gateway is, and beside what: see README.md beside this file.
var root = new RootCommand("KantaGateway benchmarks")
{
    SeedCommand.Create(), ScaleCommand.Create(), MemoryCommand.Create(), TimingCommand.Create(), IdentifyCommand.Create(), DecideCommand.Create(), KeysCommand.Create(), AuditCommand.Create(), ScopeCommand.Create(), PortalCommand.Create(), PostgresCommand.Create(), HoldCommand.Create(), RenderCommand.Create(), ServeCommand.Create(),
};
foreach (var load in LoadCommand.CreateAll())
    root.Add(load);
try
{
    return await root.Parse(args).InvokeAsync(new InvocationConfiguration { EnableDefaultExceptionHandler = false });
}
catch (BenchmarkException e)
{
    await Console.Error.WriteLineAsync(e.Message);
    return 2;
}
