using KantaGateway.Fhir.Transport;
using KantaGateway.Repository;

var verifies = args is [VerifyStore.Name, ..];
var file = args.Skip(verifies ? 1 : 0).FirstOrDefault(a => !a.StartsWith('-')) ?? "repository.json";
OptionsCheck.RequirePrivateConfiguration(file, nameof(RepositoryOptions.Postgres));
var configuration = new ConfigurationBuilder()
    .AddJsonFile(file, optional: true)
    .AddEnvironmentVariables("KANTA_REPOSITORY__")
    .Build();
var options = configuration.Get<RepositoryOptions>(o => o.ErrorOnUnknownConfiguration = true)
    ?? throw new InvalidOperationException("No configuration: give a JSON file or KANTA_REPOSITORY__ variables.");
if (verifies)
    return await VerifyStore.RunAsync(options, Console.Out);
await RepositoryHost.Build(options).RunAsync();
return 0;
